-- Types of the schemas that are asked for, as far as they stand for themselves and PostgreSQL lets them be granted: no
-- arrays and multiranges, which go by what they are made of, no rows of tables, and none that is only announced.
SELECT n.nspname::text, t.typname::text, t.typowner
  FROM pg_type AS t
  JOIN pg_namespace AS n ON n.oid = t.typnamespace
  LEFT JOIN pg_class AS c ON c.oid = t.typrelid
 WHERE n.nspname = ANY ($1) AND t.typisdefined
   AND (t.typtype IN ('d', 'e', 'r') OR (t.typtype = 'c' AND c.relkind = 'c')
        OR (t.typtype = 'b' AND NOT (t.typelem <> 0 AND t.typsubscript = 'array_subscript_handler'::regproc)))
