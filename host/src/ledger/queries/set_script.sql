INSERT INTO rolewright.state (key, value)
VALUES ($1, jsonb_build_object('digests', $2::text[], 'at', now())::text)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
