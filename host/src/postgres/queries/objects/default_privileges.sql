-- Default privileges of the roles that are asked for, in both layers: for one schema, or (NULL) for all of an owner.
-- Of PUBLIC only those for one schema: what the others give it is PostgreSQL's own for the most part, and nobody's business.
SELECT d.defaclobjtype::text, n.nspname::text, d.defaclrole, coalesce(r.rolname::text, 'public') AS grantee, a.privilege_type, a.is_grantable
  FROM pg_default_acl AS d
  LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) AS a
  LEFT JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE (r.rolname = ANY ($1) OR a.grantee = 0 AND d.defaclnamespace <> 0 AND 'public' = ANY ($1)) AND a.grantee <> d.defaclrole
