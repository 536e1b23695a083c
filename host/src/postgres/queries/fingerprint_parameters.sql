-- The same for privileges on parameters: PostgreSQL 15 and later.
SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, xmin, ctid), 6))) FROM pg_parameter_acl
