-- Schemas, as in relations.sql.
SELECT 'schema' AS kind, NULL::text AS schema, n.nspname::text AS name, NULL::text AS part, n.nspowner AS owner,
       false AS guarded, false AS limited, a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_namespace AS n
  LEFT JOIN LATERAL (
         SELECT x.* FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS x
          WHERE $3::oid[] IS NULL OR x.grantee = ANY ($3)) AS a ON true
 WHERE $1::text IS NULL AND ($2::text IS NULL OR n.nspname::text = $2)
   AND ($2 IS NOT NULL OR (n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'))
