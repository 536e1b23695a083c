-- The same before version 15, where nobody can be granted SET on a parameter.
SELECT lower(name)
  FROM pg_settings
 WHERE context = 'superuser'
