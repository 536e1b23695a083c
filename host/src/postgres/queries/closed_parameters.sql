-- Parameters that only a superuser may set, or whoever was granted SET on them. Some are hidden from who may not read all
-- settings; of those nothing is known.
SELECT lower(name)
  FROM pg_settings
 WHERE context = 'superuser' AND NOT has_parameter_privilege(name, 'SET')
