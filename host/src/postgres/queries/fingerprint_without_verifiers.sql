-- The same for who may not read pg_authid: roles by their visible content instead of their row version. A password that
-- somebody changes by hand stays unseen, as it does everywhere else for this role.
SELECT concat_ws(':',
         (SELECT concat_ws('.', count(*), bit_xor(hashtextextended(r::text, 0))) FROM pg_roles AS r),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(roleid, member, xmin, ctid), 1))) FROM pg_auth_members),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(setrole, setdatabase, xmin, ctid), 2))) FROM pg_db_role_setting),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, xmin, ctid), 3))) FROM pg_database),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(objoid, classoid, xmin, ctid), 4))) FROM pg_shdescription),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, xmin, ctid), 5))) FROM pg_tablespace)
       )
