INSERT INTO rolewright.state (key, value)
VALUES ('inputs', $1), ('fingerprint', $2)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
