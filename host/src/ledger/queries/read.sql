SELECT name, oid, kind, origin, secret_version, row_version, applied::text AS applied
  FROM rolewright.roles
