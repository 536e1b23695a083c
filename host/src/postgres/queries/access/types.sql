-- Types and domains, as in relations.sql. An array has the privileges of its element, and (17 and later) a multirange those
-- of its range.
SELECT 'type' AS kind, n.nspname::text AS schema, t.typname::text AS name, NULL::text AS part, e.typowner AS owner,
       false AS guarded, false AS limited, a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_type AS t
  JOIN pg_namespace AS n ON n.oid = t.typnamespace
  LEFT JOIN pg_range AS r ON r.rngmultitypid = t.oid AND current_setting('server_version_num')::int4 >= 170000
  JOIN pg_type AS e ON e.oid = coalesce(r.rngtypid,
         CASE WHEN t.typelem <> 0 AND t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc THEN t.typelem ELSE t.oid END)
  LEFT JOIN LATERAL (
         SELECT x.* FROM aclexplode(coalesce(e.typacl, acldefault('T', e.typowner))) AS x
          WHERE $3::oid[] IS NULL OR x.grantee = ANY ($3)) AS a ON true
 WHERE ($1::text IS NULL OR n.nspname = $1) AND ($2::text IS NULL OR t.typname = $2)
   AND ($1 IS NOT NULL OR $2 IS NOT NULL OR (n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'))
