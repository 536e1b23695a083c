-- The same for who may not read pg_authid.
INSERT INTO rolewright.roles AS l (name, oid, kind, origin, secret_version, row_version, applied)
SELECT u.name, r.oid, u.kind, u.origin, u.secret_version, NULL, u.applied::jsonb
  FROM unnest($1, $2, $3, $4, $5) AS u (name, kind, origin, secret_version, applied)
  JOIN pg_roles AS r ON r.rolname = u.name
    ON CONFLICT (name) DO UPDATE
   SET oid = excluded.oid, kind = excluded.kind, origin = excluded.origin, secret_version = excluded.secret_version,
       row_version = excluded.row_version, applied = excluded.applied, changed = now(),
       since = CASE WHEN l.oid = excluded.oid THEN l.since ELSE now() END
