-- What PUBLIC holds on databases; a NULL ACL means the defaults.
SELECT d.datname::text, a.grantor, a.grantor = d.datdba AS by_owner, a.privilege_type
  FROM pg_database AS d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
 WHERE a.grantee = 0
