-- Foreign servers, as in relations.sql.
SELECT 'foreign server' AS kind, NULL::text AS schema, s.srvname::text AS name, NULL::text AS part, s.srvowner AS owner,
       false AS guarded, false AS limited, a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_foreign_server AS s
  LEFT JOIN LATERAL (
         SELECT x.* FROM aclexplode(coalesce(s.srvacl, acldefault('S', s.srvowner))) AS x
          WHERE $3::oid[] IS NULL OR x.grantee = ANY ($3)) AS a ON true
 WHERE $1::text IS NULL AND ($2::text IS NULL OR s.srvname::text = $2)
