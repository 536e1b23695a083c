-- Configuration parameters, as in relations.sql: those that the server knows, and those that somebody was granted something
-- on. They belong to the bootstrap superuser. Those that every session may set anyway are limited.
SELECT 'parameter' AS kind, NULL::text AS schema, coalesce(p.parname, lower(s.name)) AS name, NULL::text AS part, 10::oid AS owner,
       false AS guarded, coalesce(s.context = 'user', false) AS limited,
       a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_settings AS s
  FULL JOIN pg_parameter_acl AS p ON p.parname = lower(s.name)
  LEFT JOIN LATERAL (
         SELECT x.* FROM aclexplode(coalesce(p.paracl, acldefault('p', 10::oid))) AS x
          WHERE $3::oid[] IS NULL OR x.grantee = ANY ($3)) AS a ON true
 WHERE $1::text IS NULL AND ($2::text IS NULL OR coalesce(p.parname, lower(s.name)) = lower($2))
