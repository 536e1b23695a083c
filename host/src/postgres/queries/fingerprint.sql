-- One value that moves whenever a role, a membership, a setting, a comment, a database or a tablespace does: the identity of each row
-- version (who wrote it, and where it lies), folded over all rows.
SELECT concat_ws(':',
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, xmin, ctid), 0))) FROM pg_authid),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(roleid, member, xmin, ctid), 1))) FROM pg_auth_members),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(setrole, setdatabase, xmin, ctid), 2))) FROM pg_db_role_setting),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, xmin, ctid), 3))) FROM pg_database),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(objoid, classoid, xmin, ctid), 4))) FROM pg_shdescription),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, xmin, ctid), 5))) FROM pg_tablespace)
       )
