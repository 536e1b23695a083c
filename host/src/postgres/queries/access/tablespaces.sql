-- Tablespaces, as in relations.sql.
SELECT 'tablespace' AS kind, NULL::text AS schema, t.spcname::text AS name, NULL::text AS part, t.spcowner AS owner,
       false AS guarded, false AS limited, a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_tablespace AS t
  LEFT JOIN LATERAL (
         SELECT x.* FROM aclexplode(coalesce(t.spcacl, acldefault('t', t.spcowner))) AS x
          WHERE $3::oid[] IS NULL OR x.grantee = ANY ($3)) AS a ON true
 WHERE $1::text IS NULL AND ($2::text IS NULL OR t.spcname::text = $2)
