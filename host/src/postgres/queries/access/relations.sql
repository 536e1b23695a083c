-- Tables (with views, materialized and foreign tables) and sequences, a row for each item of their ACL, at least one row
-- for each. $1, $2: only this schema, this name; $3: only items of these grantees (0 is PUBLIC). Without a name, PostgreSQL's own
-- schemas are left out. What the server itself lives on is guarded: nobody but a superuser writes to it, whatever its ACL says.
SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
       n.nspname::text AS schema, c.relname::text AS name, NULL::text AS part, c.relowner AS owner,
       c.oid < 12000 AND c.relkind <> 'v' AS guarded, c.relrowsecurity AS limited,
       a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
         SELECT x.* FROM aclexplode(coalesce(c.relacl,
                  acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, c.relowner))) AS x
          WHERE $3::oid[] IS NULL OR x.grantee = ANY ($3)) AS a ON true
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
   AND ($1::text IS NULL OR n.nspname = $1) AND ($2::text IS NULL OR c.relname = $2)
   AND ($1 IS NOT NULL OR $2 IS NOT NULL OR (n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'))
