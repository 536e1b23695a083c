-- Large objects, by number, as in relations.sql.
SELECT 'large object' AS kind, NULL::text AS schema, l.oid::text AS name, NULL::text AS part, l.lomowner AS owner,
       false AS guarded, false AS limited, a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_largeobject_metadata AS l
  LEFT JOIN LATERAL (
         SELECT x.* FROM aclexplode(coalesce(l.lomacl, acldefault('L', l.lomowner))) AS x
          WHERE $3::oid[] IS NULL OR x.grantee = ANY ($3)) AS a ON true
 WHERE $1::text IS NULL AND ($2::text IS NULL OR l.oid::text = $2)
