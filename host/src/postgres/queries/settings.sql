-- ALTER ROLE … SET, in one database or (NULL) in all.
SELECT s.setrole, d.datname::text, split_part(item, '=', 1) AS name, substr(item, strpos(item, '=') + 1) AS value
  FROM pg_db_role_setting AS s
  LEFT JOIN pg_database AS d ON d.oid = s.setdatabase,
       unnest(s.setconfig) AS item
 WHERE s.setrole <> 0
