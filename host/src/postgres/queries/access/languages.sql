-- Procedural languages; those that are not trusted are limited: nobody but a superuser writes functions in them, as in relations.sql.
SELECT 'language' AS kind, NULL::text AS schema, l.lanname::text AS name, NULL::text AS part, l.lanowner AS owner,
       false AS guarded, NOT l.lanpltrusted AS limited, a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_language AS l
  LEFT JOIN LATERAL (
         SELECT x.* FROM aclexplode(coalesce(l.lanacl, acldefault('l', l.lanowner))) AS x
          WHERE $3::oid[] IS NULL OR x.grantee = ANY ($3)) AS a ON true
 WHERE $1::text IS NULL AND ($2::text IS NULL OR l.lanname::text = $2)
