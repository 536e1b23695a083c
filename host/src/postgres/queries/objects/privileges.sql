-- What the roles that are asked for hold in this database. Left out: PostgreSQL's own schemas, and the owner, who holds
-- everything by being the owner. A NULL ACL means the defaults, which give something to the owner and PUBLIC only.
-- `part`: the arguments of a routine, or the column of a table.
SELECT 'schema' AS kind, n.nspname::text, NULL::text AS name, NULL::text AS part,
       r.rolname::text AS grantee, a.grantor, n.nspowner AS owner, a.privilege_type, a.is_grantable
  FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE r.rolname = ANY ($1) AND a.grantee <> n.nspowner
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, n.nspname, c.relname, NULL,
       r.rolname::text, a.grantor, c.relowner, a.privilege_type, a.is_grantable
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE r.rolname = ANY ($1) AND a.grantee <> c.relowner
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT 'routine', n.nspname, p.proname,
       CASE p.prokind WHEN 'a' THEN oidvectortypes(p.proargtypes) ELSE pg_get_function_identity_arguments(p.oid) END,
       r.rolname::text, a.grantor, p.proowner, a.privilege_type, a.is_grantable
  FROM pg_proc AS p
  JOIN pg_namespace AS n ON n.oid = p.pronamespace, aclexplode(p.proacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE r.rolname = ANY ($1) AND a.grantee <> p.proowner
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
-- Columns by way of the dependencies of these roles: there is no need to look at every column of every table.
SELECT 'column', n.nspname, c.relname, t.attname,
       r.rolname::text, a.grantor, c.relowner, a.privilege_type, a.is_grantable
  FROM pg_roles AS r
  JOIN pg_shdepend AS d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid
  JOIN pg_attribute AS t ON t.attrelid = d.objid AND t.attnum = d.objsubid::smallint
  JOIN pg_class AS c ON c.oid = t.attrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(t.attacl) AS a
 WHERE r.rolname = ANY ($1) AND a.grantee = r.oid AND a.grantee <> c.relowner
   AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND d.classid = 'pg_class'::regclass AND d.objsubid <> 0 AND d.deptype = 'a' AND NOT t.attisdropped
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT 'type', n.nspname, t.typname, NULL,
       r.rolname::text, a.grantor, t.typowner, a.privilege_type, a.is_grantable
  FROM pg_type AS t
  JOIN pg_namespace AS n ON n.oid = t.typnamespace, aclexplode(t.typacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE r.rolname = ANY ($1) AND a.grantee <> t.typowner
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
-- On a language that is not trusted PostgreSQL neither grants nor revokes.
SELECT 'language', NULL, l.lanname, NULL, r.rolname::text, a.grantor, l.lanowner, a.privilege_type, a.is_grantable
  FROM pg_language AS l, aclexplode(l.lanacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE r.rolname = ANY ($1) AND a.grantee <> l.lanowner AND l.lanpltrusted
UNION ALL
SELECT 'foreign data wrapper', NULL, f.fdwname, NULL, r.rolname::text, a.grantor, f.fdwowner, a.privilege_type, a.is_grantable
  FROM pg_foreign_data_wrapper AS f, aclexplode(f.fdwacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE r.rolname = ANY ($1) AND a.grantee <> f.fdwowner
UNION ALL
SELECT 'foreign server', NULL, s.srvname, NULL, r.rolname::text, a.grantor, s.srvowner, a.privilege_type, a.is_grantable
  FROM pg_foreign_server AS s, aclexplode(s.srvacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE r.rolname = ANY ($1) AND a.grantee <> s.srvowner
UNION ALL
SELECT 'large object', NULL, o.oid::text, NULL, r.rolname::text, a.grantor, o.lomowner, a.privilege_type, a.is_grantable
  FROM pg_largeobject_metadata AS o, aclexplode(o.lomacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE r.rolname = ANY ($1) AND a.grantee <> o.lomowner
