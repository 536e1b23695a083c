CREATE SCHEMA rolewright;
COMMENT ON SCHEMA rolewright IS 'The ledger of Rolewright: which roles it manages, and what it did. Written by the controller only.';

CREATE TABLE rolewright.state (
    key text PRIMARY KEY,
    value text NOT NULL
);
COMMENT ON TABLE rolewright.state IS 'Format of the ledger; inputs and catalog that were last seen to agree; the instance that leads, and its term; scripts that have run; digests of the policies that were set, and how the server prints them.';

CREATE TABLE rolewright.roles (
    name text PRIMARY KEY,
    oid oid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('user', 'group')),
    origin text NOT NULL CHECK (origin IN ('created', 'adopted')),
    secret_version text,
    row_version text,
    applied jsonb,
    since timestamptz NOT NULL DEFAULT now(),
    changed timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE rolewright.roles IS 'Managed roles. A role under the same name with another OID is not the one recorded.';
COMMENT ON COLUMN rolewright.roles.secret_version IS 'Version of the Secret whose password is in force: a counter of Kubernetes, nothing of its value.';
COMMENT ON COLUMN rolewright.roles.row_version IS 'xmin of the pg_authid row at that time.';
COMMENT ON COLUMN rolewright.roles.applied IS 'The role as it was last left; what differs from it now is drift.';

CREATE TABLE rolewright.history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    finished timestamptz NOT NULL DEFAULT clock_timestamp(),
    instance text,
    digest text NOT NULL,
    summary jsonb NOT NULL,
    steps jsonb NOT NULL
);
COMMENT ON TABLE rolewright.history IS 'The last thousand cycles that changed something.';
COMMENT ON COLUMN rolewright.history.at IS 'When its transaction began, with the lock that keeps instances apart in hand.';
COMMENT ON COLUMN rolewright.history.instance IS 'Which of several instances it was; null where only one is meant to run.';
