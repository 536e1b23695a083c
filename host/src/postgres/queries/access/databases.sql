-- Databases; those that take no connections are limited, as in relations.sql.
SELECT 'database' AS kind, NULL::text AS schema, d.datname::text AS name, NULL::text AS part, d.datdba AS owner,
       false AS guarded, NOT d.datallowconn AS limited, a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_database AS d
  LEFT JOIN LATERAL (
         SELECT x.* FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS x
          WHERE $3::oid[] IS NULL OR x.grantee = ANY ($3)) AS a ON true
 WHERE $1::text IS NULL AND ($2::text IS NULL OR d.datname::text = $2)
