-- Whose routines or types give nothing to PUBLIC when they are made: by default privileges for all schemas, since those
-- for one schema can only add to PostgreSQL's own.
SELECT d.defaclobjtype::text, d.defaclrole
  FROM pg_default_acl AS d
 WHERE d.defaclnamespace = 0 AND d.defaclobjtype IN ('f', 'T')
   AND NOT EXISTS (SELECT FROM aclexplode(d.defaclacl) AS a WHERE a.grantee = 0)
