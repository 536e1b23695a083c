-- What ALL TABLES and ALL SEQUENCES mean, in the schemas that are asked for: tables, partitioned tables, views,
-- materialized views and foreign tables; and sequences.
SELECT n.nspname::text, c.relname::text, c.relkind = 'S' AS is_sequence, c.relowner
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname = ANY ($1)
