-- What PUBLIC holds, if it is asked for ($2): on schemas, and on what lies in those that are asked for ($1). A NULL ACL means
-- the defaults, which give it something on routines and types. Columns by way of their tables: no role stands in their ACLs.
SELECT 'schema' AS kind, n.nspname::text, NULL::text AS name, NULL::text AS part,
       'public' AS grantee, a.grantor, n.nspowner AS owner, a.privilege_type, false AS is_grantable
  FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
 WHERE $2 AND a.grantee = 0 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, n.nspname, c.relname, NULL,
       'public', a.grantor, c.relowner, a.privilege_type, false
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS a
 WHERE $2 AND a.grantee = 0 AND n.nspname = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
UNION ALL
SELECT 'column', n.nspname, c.relname, t.attname, 'public', a.grantor, c.relowner, a.privilege_type, false
  FROM pg_namespace AS n
  JOIN pg_class AS c ON c.relnamespace = n.oid
  JOIN pg_attribute AS t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
 WHERE $2 AND a.grantee = 0 AND n.nspname = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT t.attisdropped
UNION ALL
SELECT 'routine', n.nspname, p.proname,
       CASE p.prokind WHEN 'a' THEN oidvectortypes(p.proargtypes) ELSE pg_get_function_identity_arguments(p.oid) END,
       'public', a.grantor, p.proowner, a.privilege_type, false
  FROM pg_proc AS p
  JOIN pg_namespace AS n ON n.oid = p.pronamespace, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
 WHERE $2 AND a.grantee = 0 AND n.nspname = ANY ($1)
UNION ALL
SELECT 'type', n.nspname, t.typname, NULL, 'public', a.grantor, t.typowner, a.privilege_type, false
  FROM pg_type AS t
  JOIN pg_namespace AS n ON n.oid = t.typnamespace
  LEFT JOIN pg_class AS c ON c.oid = t.typrelid, aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) AS a
 WHERE $2 AND a.grantee = 0 AND n.nspname = ANY ($1) AND t.typisdefined
   AND (t.typtype IN ('d', 'e', 'r') OR (t.typtype = 'c' AND c.relkind = 'c')
        OR (t.typtype = 'b' AND NOT (t.typelem <> 0 AND t.typsubscript = 'array_subscript_handler'::regproc)))
