-- Whether row-level security is on for the relations that are asked for, whatever they are.
SELECT n.nspname::text, c.relname::text, c.relowner, c.relkind::text, c.relrowsecurity, c.relforcerowsecurity
  FROM unnest($1, $2) AS asked (schema, name)
  JOIN pg_namespace AS n ON n.nspname = asked.schema
  JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = asked.name
