-- Who owns the database of this session, and so is a member of pg_database_owner here; and what time it is.
SELECT d.datdba, d.datname::text, extract(epoch FROM now())::int8 AS now, current_setting('server_version_num')::int4 AS version
  FROM pg_database AS d
 WHERE d.datname = current_database()
