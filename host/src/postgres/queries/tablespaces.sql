-- Every tablespace with its owner, and what roles hold on it. Left out: PUBLIC, and the owner.
SELECT 'tablespace' AS kind, t.spcname::text, t.spcowner, a.grantee, a.grantor, a.privilege_type, a.is_grantable
  FROM pg_tablespace AS t
  LEFT JOIN LATERAL aclexplode(t.spcacl) AS a ON a.grantee <> 0 AND a.grantee <> t.spcowner
