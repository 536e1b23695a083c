-- Databases that others are made from, and what an interrupted DROP DATABASE has left: its connection limit is -2 then.
SELECT datname::text, datistemplate, datconnlimit = -2 AS is_invalid
  FROM pg_database
 WHERE datistemplate OR datconnlimit = -2
