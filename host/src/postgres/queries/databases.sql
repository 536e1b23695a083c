-- Every database and its owner.
SELECT d.datname::text, d.datdba, d.datconnlimit, c.description
  FROM pg_database AS d
  LEFT JOIN pg_shdescription AS c ON c.objoid = d.oid AND c.classoid = 'pg_database'::regclass
