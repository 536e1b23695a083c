-- Before version 16 an edge knows ADMIN only: the member's own INHERIT decides, and SET is always allowed.
SELECT m.roleid, m.member, m.grantor, m.admin_option, r.rolinherit AS inherit_option, true AS set_option
  FROM pg_auth_members AS m
  JOIN pg_roles AS r ON r.oid = m.member
