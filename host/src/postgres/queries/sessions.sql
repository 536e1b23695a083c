-- Sessions of roles that go.
SELECT usesysid AS role, count(*) AS sessions
  FROM pg_stat_activity
 WHERE usesysid = ANY ($1)
 GROUP BY 1
