-- Every role as everyone may see it: whether it has a password stays hidden.
SELECT r.oid,
       r.rolname::text,
       r.rolcanlogin, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolinherit, r.rolreplication, r.rolbypassrls,
       r.rolconnlimit,
       extract(epoch FROM r.rolvaliduntil)::float8 AS valid_until,
       c.description,
       NULL::text AS rolpassword,
       NULL::text AS row_version
  FROM pg_roles AS r
  LEFT JOIN pg_shdescription AS c ON c.objoid = r.oid AND c.classoid = 'pg_authid'::regclass
