// Roles and a context for tests that run under Node, without WebAssembly. They look as those that the host hands over.

const ATTRIBUTES = {
    login: false, superuser: false, createdb: false, createrole: false, inherit: true, replication: false, bypassrls: false,
};

function role(name, mode, login, fields) {
    return {
        name,
        mode,
        standing: 'managed',
        attributes: { ...ATTRIBUTES, login },
        connectionLimit: null,
        validUntil: null,
        comment: null,
        memberships: [],
        settings: [],
        grants: [],
        hasPassword: null,
        credential: null,
        labels: [],
        path: '',
        ...fields,
    };
}

/** A user as `CREATE ROLE name LOGIN` makes it. */
export const user = (name, fields = {}) => role(name, 'authoritative', true, { path: `/users/${name}`, ...fields });

/** A group role as `CREATE ROLE name` makes it, which must only be present. */
export const group = (name, fields = {}) => role(name, 'present', false, fields);

/** What `GRANT role TO member` gives: INHERIT and SET, no ADMIN. */
export const membership = (name, fields = {}) =>
    ({ role: name, admin: false, inherit: true, set: true, until: null, grantor: null, ...fields });

/** A spec with these roles. */
export const spec = (...roles) => ({ roles, databases: [], scripts: [] });

/** No clock, no labels. */
export const context = (fields = {}) => ({
    now: null, target: 'localhost:5432/postgres', serverVersion: 180000, dryRun: false, reassignOwnedTo: 'postgres', labels: [],
    ...fields,
});
