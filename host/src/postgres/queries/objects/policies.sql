-- The policies of the tables that are asked for. Every session has pg_catalog for its search_path, so expressions are
-- printed with all schemas.
SELECT n.nspname::text, c.relname::text, p.polname::text, p.polcmd::text, p.polpermissive, p.polroles,
       pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
  FROM unnest($1, $2) AS asked (schema, name)
  JOIN pg_namespace AS n ON n.nspname = asked.schema
  JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = asked.name
  JOIN pg_policy AS p ON p.polrelid = c.oid
