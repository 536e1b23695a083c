-- Every role, with the verifier of its password: for who may read pg_authid.
-- The comments are joined: shobj_description() for each row takes minutes where this takes milliseconds.
SELECT r.oid,
       r.rolname::text,
       r.rolcanlogin, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolinherit, r.rolreplication, r.rolbypassrls,
       r.rolconnlimit,
       extract(epoch FROM r.rolvaliduntil)::float8 AS valid_until,
       c.description,
       r.rolpassword,
       r.xmin::text AS row_version
  FROM pg_authid AS r
  LEFT JOIN pg_shdescription AS c ON c.objoid = r.oid AND c.classoid = 'pg_authid'::regclass
