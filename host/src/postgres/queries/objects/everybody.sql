-- What PUBLIC holds on schemas; a NULL ACL means the defaults.
SELECT n.nspname::text, a.grantor, a.grantor = n.nspowner AS by_owner, a.privilege_type
  FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
 WHERE a.grantee = 0 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
