-- Objects of the other kinds, with their owners: all of the kinds of which there are few, and of the others those that are
-- asked for by name: types, columns (with their tables), large objects. `part`: the column of a table. What PostgreSQL lets
-- nobody be granted is left out, arrays and multiranges; languages that are not trusted are marked.
SELECT 'language' AS kind, NULL::text AS schema, l.lanname::text AS name, NULL::text AS part, l.lanowner AS owner,
       l.lanpltrusted AS can_be_granted
  FROM pg_language AS l
UNION ALL
SELECT 'foreign data wrapper', NULL, fdwname, NULL, fdwowner, true FROM pg_foreign_data_wrapper
UNION ALL
SELECT 'foreign server', NULL, srvname, NULL, srvowner, true FROM pg_foreign_server
UNION ALL
SELECT 'type', n.nspname, t.typname, NULL, t.typowner, true
  FROM unnest($1::text[], $2::text[]) AS asked(schema, name)
  JOIN pg_namespace AS n ON n.nspname = asked.schema
  JOIN pg_type AS t ON t.typnamespace = n.oid AND t.typname = asked.name
 WHERE t.typtype <> 'm' AND NOT (t.typelem <> 0 AND t.typsubscript = 'array_subscript_handler'::regproc)
UNION ALL
SELECT 'column', n.nspname, c.relname, t.attname, c.relowner, true
  FROM unnest($3::text[], $4::text[], $5::text[]) AS asked(schema, name, part)
  JOIN pg_namespace AS n ON n.nspname = asked.schema
  JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = asked.name
  JOIN pg_attribute AS t ON t.attrelid = c.oid AND t.attname = asked.part
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT t.attisdropped
UNION ALL
SELECT 'large object', NULL, o.oid::text, NULL, o.lomowner, true FROM pg_largeobject_metadata AS o WHERE o.oid = ANY ($6)
