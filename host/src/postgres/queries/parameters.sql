-- What roles hold on parameters, all of which belong to the bootstrap superuser. PostgreSQL 15 and later.
SELECT 'parameter' AS kind, p.parname, 10::oid, a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_parameter_acl AS p, aclexplode(p.paracl) AS a
 WHERE a.grantee <> 0 AND a.grantee <> 10
