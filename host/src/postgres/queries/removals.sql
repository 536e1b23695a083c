-- What depends on roles that go, by database; NULL for objects that belong to the whole server. pg_shdepend is shared,
-- so that one query tells what lies in databases that nobody is connected to.
SELECT s.refobjid AS role, d.datname::text AS database, count(*) AS dependencies
  FROM pg_shdepend AS s
  LEFT JOIN pg_database AS d ON d.oid = s.dbid
 WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = ANY ($1)
 GROUP BY 1, 2
