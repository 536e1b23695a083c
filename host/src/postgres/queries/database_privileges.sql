-- What roles hold on databases. Left out: PUBLIC, and the owner, who holds everything by being the owner.
-- A NULL ACL means the defaults, which give something to these two only.
SELECT d.datname::text, a.grantee, a.grantor, a.grantor = d.datdba AS by_owner, a.privilege_type, a.is_grantable
  FROM pg_database AS d, aclexplode(d.datacl) AS a
 WHERE a.grantee <> 0 AND a.grantee <> d.datdba
