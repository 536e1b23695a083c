-- Default privileges of the roles that are asked for, in both layers: for one schema, or (NULL) for all of an owner.
SELECT d.defaclobjtype::text, n.nspname::text, d.defaclrole, r.rolname::text AS grantee, a.privilege_type, a.is_grantable
  FROM pg_default_acl AS d
  LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE r.rolname = ANY ($1) AND a.grantee <> d.defaclrole
