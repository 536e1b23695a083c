-- Functions, procedures and aggregates with the types of their arguments, as in relations.sql.
SELECT 'routine' AS kind, n.nspname::text AS schema, p.proname::text AS name, oidvectortypes(p.proargtypes) AS part,
       p.proowner AS owner, false AS guarded, p.prosecdef AS limited,
       a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_proc AS p
  JOIN pg_namespace AS n ON n.oid = p.pronamespace
  LEFT JOIN LATERAL (
         SELECT x.* FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS x
          WHERE $3::oid[] IS NULL OR x.grantee = ANY ($3)) AS a ON true
 WHERE ($1::text IS NULL OR n.nspname = $1) AND ($2::text IS NULL OR p.proname = $2)
   AND ($1 IS NOT NULL OR $2 IS NOT NULL OR (n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'))
