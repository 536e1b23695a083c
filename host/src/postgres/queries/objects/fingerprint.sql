-- One value that moves whenever a schema, a relation, a routine or a default privilege of this database does: the
-- identity of each row version, folded over all rows. What is temporary comes and goes, and is nobody's business; the
-- ledger's schema is written by the controller itself.
SELECT concat_ws(':',
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, xmin, ctid), 0))) FROM pg_namespace
           WHERE nspname !~ '^pg_(toast_)?temp_' AND nspname <> 'rolewright'),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, xmin, ctid), 1))) FROM pg_class
           WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't'
             AND relnamespace <> coalesce(to_regnamespace('rolewright')::oid, 0)),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, xmin, ctid), 2))) FROM pg_proc),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, xmin, ctid), 3))) FROM pg_default_acl)
       )
