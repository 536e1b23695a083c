-- One value that moves whenever a schema, a relation, a routine, a default privilege, a policy or anything else of this database does
-- that roles can be granted something on: what is of interest in each row, folded over all rows. Not the row versions: TRUNCATE, for one, writes a new one and changes nothing
-- here. What is temporary comes and goes, and is nobody's business; the ledger's schema is the controller's own.
-- Of columns and large objects, of which there can be very many, only those count on which something was granted; columns
-- are found by way of the dependencies of roles.
WITH schemas AS MATERIALIZED (
  SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
   WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND nspname <> 'rolewright'
)
SELECT concat_ws(':',
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, nspname, nspowner, nspacl::text), 0))) FROM schemas),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(
                   ROW(c.oid, relname, relnamespace, relowner, relkind, relacl::text, relrowsecurity, relforcerowsecurity), 1)))
            FROM pg_class AS c JOIN schemas AS s ON s.oid = c.relnamespace
           WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(
                   ROW(p.oid, proname, pronamespace, proargtypes::text, proargnames::text, proowner, proacl::text), 2)))
            FROM pg_proc AS p JOIN schemas AS s ON s.oid = p.pronamespace),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(
                   ROW(oid, defaclrole, defaclnamespace, defaclobjtype, defaclacl::text), 3))) FROM pg_default_acl),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(attrelid, attnum, attname, attacl::text), 4)))
            FROM pg_attribute
           WHERE (attrelid, attnum) IN (
                   SELECT objid, objsubid::smallint FROM pg_shdepend
                    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                      AND classid = 'pg_class'::regclass AND objsubid <> 0 AND deptype = 'a')),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(
                   ROW(t.oid, typname, typnamespace, typowner, typacl::text), 5)))
            FROM pg_type AS t JOIN schemas AS s ON s.oid = t.typnamespace
           WHERE typacl IS NOT NULL OR typtype IN ('d', 'e', 'r') OR (typtype = 'b' AND typelem = 0)),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(
                   ROW(oid, lanname, lanowner, lanpltrusted, lanacl::text), 6))) FROM pg_language),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, fdwname, fdwowner, fdwacl::text), 7)))
            FROM pg_foreign_data_wrapper),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, srvname, srvowner, srvacl::text), 8)))
            FROM pg_foreign_server),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(ROW(oid, lomowner, lomacl::text), 9)))
            FROM pg_largeobject_metadata WHERE lomacl IS NOT NULL),
         (SELECT concat_ws('.', count(*), bit_xor(hash_record_extended(
                   ROW(oid, polname, polrelid, polcmd, polpermissive, polroles::text, polqual::text, polwithcheck::text), 10)))
            FROM pg_policy)
       )
