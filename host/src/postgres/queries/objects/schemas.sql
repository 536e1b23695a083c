-- Schemas with their owners, and who else was granted CREATE; PostgreSQL's own are left out.
SELECT n.nspname::text, n.nspowner,
       ARRAY(SELECT a.grantee FROM aclexplode(n.nspacl) AS a WHERE a.privilege_type = 'CREATE' AND a.grantee <> 0) AS creators
  FROM pg_namespace AS n
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
