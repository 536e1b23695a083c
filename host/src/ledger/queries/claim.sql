INSERT INTO rolewright.state (key, value)
SELECT key, value FROM (VALUES ('instance', $1), ('term', $2)) AS claim (key, value) WHERE value IS NOT NULL
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
