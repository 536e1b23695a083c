-- One value that moves whenever a schema, a relation, a routine or a default privilege of this database does: what is of
-- interest in each row, folded over all rows. Not the row versions: TRUNCATE, for one, writes a new one and changes nothing
-- here. What is temporary comes and goes, and is nobody's business; the ledger's schema is the controller's own.
WITH schemas AS MATERIALIZED (
  SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
   WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND nspname <> 'rolewright'
)
SELECT concat_ws(':',
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, nspname, nspowner, nspacl::text), 0))) FROM schemas),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(
                   ROW(c.oid, relname, relnamespace, relowner, relkind, relacl::text), 1)))
            FROM pg_class AS c JOIN schemas AS s ON s.oid = c.relnamespace
           WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(
                   ROW(p.oid, proname, pronamespace, proargtypes::text, proargnames::text, proowner, proacl::text), 2)))
            FROM pg_proc AS p JOIN schemas AS s ON s.oid = p.pronamespace),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(
                   ROW(oid, defaclrole, defaclnamespace, defaclobjtype, defaclacl::text), 3))) FROM pg_default_acl)
       )
