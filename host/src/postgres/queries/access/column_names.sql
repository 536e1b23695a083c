-- Whether a table has this column: its name as it is, and all of them for whoever mistyped it.
SELECT t.attname::text
  FROM pg_attribute AS t
  JOIN pg_class AS c ON c.oid = t.attrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2 AND t.attnum > 0 AND NOT t.attisdropped
 ORDER BY t.attnum
