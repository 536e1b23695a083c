-- The types of the arguments of the routine that a signature names; the server reads it as it would in a statement.
SELECT oidvectortypes(p.proargtypes) FROM pg_proc AS p WHERE p.oid = to_regprocedure($1)::oid
