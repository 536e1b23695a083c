-- Is the ledger's schema there, does it belong to the controller (or to a superuser), and could it be made?
SELECT n.oid IS NOT NULL AS exists,
       (SELECT pg_get_userbyid(owner)::text
          FROM (SELECT n.nspowner UNION ALL SELECT relowner FROM pg_class WHERE relnamespace = n.oid) AS owners (owner)
          JOIN pg_roles AS r ON r.oid = owner
         WHERE NOT r.rolsuper AND r.rolname <> current_user
         LIMIT 1) AS foreign_owner,
       n.oid IS NOT NULL
         AND has_schema_privilege(n.oid, 'USAGE')
         AND NOT EXISTS (SELECT FROM pg_class
                          WHERE relnamespace = n.oid AND relkind = 'r'
                            AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
                                     AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')))
         AS usable,
       has_database_privilege(current_database(), 'CREATE') AS may_create
  FROM (VALUES (1)) AS one
  LEFT JOIN pg_namespace AS n ON n.nspname = 'rolewright'
