-- Default privileges of the grantees that are asked for (0 is PUBLIC), in both layers: for one schema, or (NULL) for all.
SELECT d.defaclobjtype::text AS objects, n.nspname::text AS schema, d.defaclrole AS owner,
       a.grantee, a.privilege_type, a.is_grantable
  FROM pg_default_acl AS d
  LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) AS a
 WHERE a.grantee = ANY ($1) AND a.grantee <> d.defaclrole
