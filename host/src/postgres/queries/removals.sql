-- What depends on roles that go, by database and by the catalog of what they own there; NULL for objects that belong to
-- the whole server, and for what is not owned. pg_shdepend is shared, so that one query tells what lies in databases that
-- nobody is connected to. Default privileges and user mappings have an owner, and are dropped with it, not handed over.
SELECT s.refobjid AS role, d.datname::text AS database,
       CASE WHEN s.deptype = 'o' AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
            THEN (SELECT relname::text FROM pg_class WHERE oid = s.classid) END AS owned,
       count(*) AS dependencies,
       count(*) FILTER (WHERE s.classid = 'pg_policy'::regclass) AS policies,
       CASE WHEN d.datconnlimit = -2 THEN 'it is invalid: its DROP DATABASE was interrupted'
            WHEN NOT d.datallowconn THEN 'it allows no connections'
            WHEN NOT has_database_privilege(d.oid, 'CONNECT') THEN 'the controller may not connect to it' END AS closed
  FROM pg_shdepend AS s
  LEFT JOIN pg_database AS d ON d.oid = s.dbid
 WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = ANY ($1)
 GROUP BY 1, 2, 3, 6
