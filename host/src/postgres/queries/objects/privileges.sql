-- What the roles that are asked for hold in this database. Left out: PostgreSQL's own schemas, and the owner, who holds
-- everything by being the owner. A NULL ACL means the defaults, which give something to the owner and PUBLIC only.
SELECT 'schema' AS kind, n.nspname::text, NULL::text AS name, NULL::text AS arguments,
       r.rolname::text AS grantee, a.grantor, a.grantor = n.nspowner AS by_owner, a.privilege_type, a.is_grantable
  FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE r.rolname = ANY ($1) AND a.grantee <> n.nspowner
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, n.nspname, c.relname, NULL,
       r.rolname::text, a.grantor, a.grantor = c.relowner, a.privilege_type, a.is_grantable
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE r.rolname = ANY ($1) AND a.grantee <> c.relowner
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT 'routine', n.nspname, p.proname,
       CASE p.prokind WHEN 'a' THEN oidvectortypes(p.proargtypes) ELSE pg_get_function_identity_arguments(p.oid) END,
       r.rolname::text, a.grantor, a.grantor = p.proowner, a.privilege_type, a.is_grantable
  FROM pg_proc AS p
  JOIN pg_namespace AS n ON n.oid = p.pronamespace, aclexplode(p.proacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE r.rolname = ANY ($1) AND a.grantee <> p.proowner
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
