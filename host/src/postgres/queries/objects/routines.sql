-- Functions, procedures, aggregates and window functions of the schemas that are asked for: as PostgreSQL identifies
-- them, and with the types of their arguments alone. (GRANT does not take the ORDER BY that identifies some aggregates.)
SELECT n.nspname::text, p.proname::text,
       CASE p.prokind WHEN 'a' THEN oidvectortypes(p.proargtypes) ELSE pg_get_function_identity_arguments(p.oid) END AS arguments,
       oidvectortypes(p.proargtypes) AS types, p.proowner
  FROM pg_proc AS p
  JOIN pg_namespace AS n ON n.oid = p.pronamespace
 WHERE n.nspname = ANY ($1)
