-- What the server is, and what the controller's own role may do there.
SELECT current_setting('server_version_num')::int4 AS version,
       current_user::text AS current_user,
       session_user::text AS session_user,
       (SELECT rolname::text FROM pg_roles WHERE oid = 10) AS bootstrap_superuser,
       own.rolsuper AS superuser,
       has_table_privilege('pg_authid', 'SELECT') AS reads_verifiers,
       -- Tells this cluster from any other, also behind the same host name.
       CASE WHEN has_function_privilege('pg_control_system()', 'EXECUTE')
            THEN (SELECT system_identifier::text FROM pg_control_system())
       END AS system_identifier,
       (SELECT oid FROM pg_database WHERE datname = current_database()) AS database_oid,
       pg_is_in_recovery() AS in_recovery
  FROM pg_roles AS own
 WHERE own.rolname = current_user
