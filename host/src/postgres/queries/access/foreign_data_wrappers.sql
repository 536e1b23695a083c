-- Foreign data wrappers, as in relations.sql.
SELECT 'foreign data wrapper' AS kind, NULL::text AS schema, w.fdwname::text AS name, NULL::text AS part, w.fdwowner AS owner,
       false AS guarded, false AS limited, a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_foreign_data_wrapper AS w
  LEFT JOIN LATERAL (
         SELECT x.* FROM aclexplode(coalesce(w.fdwacl, acldefault('F', w.fdwowner))) AS x
          WHERE $3::oid[] IS NULL OR x.grantee = ANY ($3)) AS a ON true
 WHERE $1::text IS NULL AND ($2::text IS NULL OR w.fdwname::text = $2)
