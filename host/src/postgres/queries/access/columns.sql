-- Privileges on single columns, as in relations.sql; columns without any have no row.
SELECT 'column' AS kind, n.nspname::text AS schema, c.relname::text AS name, t.attname::text AS part, c.relowner AS owner,
       c.oid < 12000 AND c.relkind <> 'v' AS guarded, c.relrowsecurity AS limited,
       a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_attribute AS t
  JOIN pg_class AS c ON c.oid = t.attrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(t.attacl) AS a
 WHERE t.attacl IS NOT NULL AND NOT t.attisdropped
   AND ($1::text IS NULL OR n.nspname = $1) AND ($2::text IS NULL OR c.relname = $2)
   AND ($3::oid[] IS NULL OR a.grantee = ANY ($3))
   AND ($1 IS NOT NULL OR $2 IS NOT NULL OR (n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'))
