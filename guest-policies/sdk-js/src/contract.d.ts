// Written by guest-policies/types.mjs from wit/*.wit, which says the same. Do not edit.

/** How much a finding matters. An `error` blocks the plan; a `warning` and an `info` are shown. */
export type Severity =
    | 'info'
    | 'warning'
    | 'error';

/** Something a module has to say about the spec. */
export interface Finding {
    /** A stable, kebab-case word for the rule, such as `reserved-name`. Scripts rely on it. */
    code: string;
    severity: Severity;
    /**
     * An RFC 6901 pointer into users.yaml, such as `/users/0/roles/1`. The host turns it into
     * file, line and column. Every record that comes from the document carries its `path`.
     */
    path: string;
    /** One sentence: what is wrong, and why. */
    message: string;
    /** What to do about it. */
    help?: string | null;
}

/** Role attributes: https://www.postgresql.org/docs/current/role-attributes.html */
export interface Attributes {
    login?: boolean;
    superuser?: boolean;
    createdb?: boolean;
    createrole?: boolean;
    inherit?: boolean;
    replication?: boolean;
    bypassrls?: boolean;
}

/** `CONNECTION LIMIT`: how many sessions the role may have at once. */
export type Limit =
    | { tag: 'unlimited' }
    | { tag: 'at-most'; val: number };

/** `VALID UNTIL`: when the role's password stops working. In Unix seconds, rounded down. */
export type Expiry =
    | { tag: 'never' }
    | { tag: 'at'; val: number };

/**
 * The edge from a member to a role that it is a member of.
 *
 * PostgreSQL 16 and later keep one edge for each grantor, each with its own options. On 14
 * and 15 there is one edge and only `admin` is kept; `inherit` follows the member's INHERIT
 * attribute and `set` is always true.
 */
export interface Membership {
    role: string;
    admin: boolean;
    inherit: boolean;
    set: boolean;
    /** Unix seconds at which the membership ends; `none`: it stays. */
    until?: number | null;
    /** Who granted it. As declared: `none`, any grantor will do. As found: always given. */
    grantor?: string | null;
}

/** What the host knows of the Secret that a password comes from. */
export type SecretState =
    | 'present'
    | 'missing'
    | 'empty'
    | 'unreadable';

/** What may be known of a password: never the password, a verifier, or a hash of either. */
export interface Credential {
    /** Name of the Kubernetes Secret, and the key in it. */
    secret: string;
    key: string;
    state: SecretState;
    /** The Secret's version, opaque; changes whenever the Secret is written. */
    version: string;
    /**
     * When the key was last written, in Unix seconds, as far as the source knows: who last wrote
     * it in the cluster, or the file's modification time. `none`: unknown.
     */
    changedAt?: number | null;
    /** The labels of the Secret, sorted by key. */
    labels: Label[];
    /** Estimated strength, 0 (guessed at once) to 4 (strong); `none`: not estimated. */
    strength?: number | null;
    /** Does the server hold this password? `none`: the role does not exist yet. */
    inSync?: boolean | null;
}

/** `ALTER ROLE … [IN DATABASE …] SET name = value`. */
export interface Setting {
    database?: string | null;
    name: string;
    value: string;
}

export interface QualifiedName {
    schema: string;
    name: string;
}

/** Functions and procedures: `arguments` as `pg_get_function_identity_arguments` prints them. */
export interface RoutineName {
    schema: string;
    name: string;
    arguments: string;
}

export interface ColumnName {
    schema: string;
    table: string;
    column: string;
}

/** Objects that `owner` will create later, in one schema or (`none`) in any. */
export interface FutureObjects {
    owner: string;
    schema?: string | null;
}

/**
 * What a privilege is held on. `table` stands for tables, views, materialized views and
 * foreign tables alike. Databases, parameters and tablespaces belong to the whole server.
 */
export type Object =
    | { tag: 'database'; val: string }
    | { tag: 'parameter'; val: string }
    | { tag: 'tablespace'; val: string }
    | { tag: 'schema'; val: string }
    | { tag: 'table'; val: QualifiedName }
    | { tag: 'column'; val: ColumnName }
    | { tag: 'sequence'; val: QualifiedName }
    | { tag: 'routine'; val: RoutineName }
    | { tag: 'type'; val: QualifiedName }
    | { tag: 'language'; val: string }
    | { tag: 'foreign-data-wrapper'; val: string }
    | { tag: 'foreign-server'; val: string }
    | { tag: 'large-object'; val: number }
    /** Every table, sequence, routine or type of a schema, those that come later included. */
    | { tag: 'all-tables'; val: string }
    | { tag: 'all-sequences'; val: string }
    | { tag: 'all-routines'; val: string }
    | { tag: 'all-types'; val: string }
    /** Default privileges: https://www.postgresql.org/docs/current/sql-alterdefaultprivileges.html */
    | { tag: 'future-tables'; val: FutureObjects }
    | { tag: 'future-sequences'; val: FutureObjects }
    | { tag: 'future-routines'; val: FutureObjects }
    | { tag: 'future-types'; val: FutureObjects }
    | { tag: 'future-schemas'; val: FutureObjects };

/** https://www.postgresql.org/docs/current/ddl-priv.html */
export interface Privileges {
    select?: boolean;
    insert?: boolean;
    update?: boolean;
    delete?: boolean;
    truncate?: boolean;
    references?: boolean;
    trigger?: boolean;
    maintain?: boolean;
    usage?: boolean;
    create?: boolean;
    connect?: boolean;
    temporary?: boolean;
    execute?: boolean;
    set?: boolean;
    alterSystem?: boolean;
}

/**
 * Privileges of one role on one object. `grantable` is the part of `privileges` held WITH
 * GRANT OPTION.
 */
export interface Grant {
    /** The database that the object lives in; `none` for objects of the whole server. */
    database?: string | null;
    on: Object;
    privileges: Privileges;
    grantable: Privileges;
}

/** Whose a role is; decided by the host, never by a module. */
export type Standing =
    /** Declared in the spec, or recorded in the ledger as made or adopted by Rolewright. */
    | 'managed'
    /**
     * Never touched: `pg_*`, the bootstrap superuser, the controller's own role, and the
     * configured list.
     */
    | 'protected'
    /** Somebody else's. */
    | 'foreign';

/** How much of a declared role the spec speaks for. */
export type Mode =
    /** The role ends exactly as declared; whatever differs on the server is drift. */
    | 'authoritative'
    /** What is declared is granted; what is there beyond it stays. */
    | 'additive'
    /**
     * The role must exist, and is created when absent (this is what becomes of a group role
     * that is only named by its members). Found, it is left as it is.
     */
    | 'present'
    /** Differences are reported, nothing is changed. */
    | 'observe';

export interface Label {
    key: string;
    value: string;
}

/**
 * PUBLIC is among the roles, too, on both sides, where users.yaml says what it may: under the
 * name `public`, which PostgreSQL lets no role have. It holds grants and nothing else.
 */
export interface Role {
    name: string;
    mode: Mode;
    standing: Standing;
    attributes: Attributes;
    /** As declared: `none` leaves the host's default for the role's mode. */
    connectionLimit?: Limit | null;
    validUntil?: Expiry | null;
    comment?: string | null;
    memberships: Membership[];
    settings: Setting[];
    grants: Grant[];
    /**
     * Has the role a password? As declared: `some(true)` with a Secret, `some(false)` for
     * `password: none`, `none` where the spec does not say. As found: `none` where the
     * server does not let the controller look.
     */
    hasPassword?: boolean | null;
    /** As declared only. */
    credential?: Credential | null;
    /** As declared only. */
    labels: Label[];
    /** Where in users.yaml the role is declared, or first named; empty as found. */
    path: string;
}

export interface Schema {
    name: string;
    owner?: string | null;
    path: string;
}

/**
 * What is not declared of it is `none`, and stays as it is. As found: the schemas of those
 * databases that the spec declares schemas of.
 */
export interface Database {
    name: string;
    /** As declared: `none` leaves the owner as it is. */
    owner?: string | null;
    connectionLimit?: Limit | null;
    comment?: string | null;
    schemas: Schema[];
    labels: Label[];
    path: string;
}

/** What users.yaml declares. */
export interface Spec {
    roles: Role[];
    databases: Database[];
    /** Names of custom SQL scripts that may be run; their text stays with the host. */
    scripts: string[];
}

/** What PostgreSQL holds: the roles that the plan may be about, and those that they touch. */
export interface Catalog {
    roles: Role[];
    databases: Database[];
}

/** All that a module may know of the world around it. */
export interface Context {
    /**
     * Unix seconds, rounded down to the `clock-step-seconds` that the module asked for in
     * `describe`; `none` if it did not ask. The same inputs give the same answer.
     */
    now?: number | null;
    /** `host:port/database` of the server. */
    target: string;
    /** As `server_version_num` prints it: 180004 is 18.4. */
    serverVersion: number;
    dryRun: boolean;
    /** Who receives what a removed role owned. */
    reassignOwnedTo: string;
    labels: Label[];
}

/**
 * `ALTER ROLE`: what to switch on, what to switch off, and what to set. `none` leaves a
 * field as it is; an empty comment removes it.
 */
export interface RolePatch {
    name: string;
    set: Attributes;
    clear: Attributes;
    connectionLimit?: Limit | null;
    validUntil?: Expiry | null;
    comment?: string | null;
}

/**
 * The host removes a role in the only safe order: NOLOGIN, end its sessions, reassign what
 * it owns and drop its privileges in every database, then DROP ROLE.
 */
export interface Removal {
    name: string;
    /** Who receives what it owned; `none`: the configured role. The guard refuses any other. */
    reassignTo?: string | null;
}

export interface Rename {
    from: string;
    to: string;
}

/** To revoke, name the edge by its `grantor` as found; to grant, leave it `none`. */
export interface Edge {
    member: string;
    membership: Membership;
}

/**
 * `role` is `none` for PUBLIC. To revoke: `privileges` go wholly; of `grantable`, those that are
 * not among `privileges` lose only their grant option.
 */
export interface RoleGrant {
    role?: string | null;
    grant: Grant;
}

export interface RoleSetting {
    role: string;
    setting: Setting;
}

export type Change =
    /**
     * The role with its attributes and memberships, and with its password if its credential is
     * present. Its grants and settings are steps of their own.
     */
    | { tag: 'create-role'; val: Role }
    | { tag: 'alter-role'; val: RolePatch }
    | { tag: 'rename-role'; val: Rename }
    /** Set the password of this role from its Secret. */
    | { tag: 'set-password'; val: string }
    /** `PASSWORD NULL`. */
    | { tag: 'clear-password'; val: string }
    | { tag: 'grant-role'; val: Edge }
    | { tag: 'revoke-role'; val: Edge }
    | { tag: 'grant-privilege'; val: RoleGrant }
    | { tag: 'revoke-privilege'; val: RoleGrant }
    | { tag: 'set-setting'; val: RoleSetting }
    | { tag: 'reset-setting'; val: RoleSetting }
    | { tag: 'drop-role'; val: Removal }
    /** With all that is declared of it; the host takes it apart. */
    | { tag: 'create-database'; val: Database }
    /**
     * What differs: `none` leaves a field as it is, and `schemas` are those to make or to give
     * to another owner.
     */
    | { tag: 'alter-database'; val: Database }
    /** Run the custom script of this name. */
    | { tag: 'run-script'; val: string };

/**
 * How bad it is if the step turns out to be a mistake. The host computes its own and takes
 * the higher of the two: a module can warn, never play down.
 */
export type Risk =
    /** Adds something that can be taken away again. */
    | 'safe'
    /** Takes access away, or changes how somebody logs in. */
    | 'disruptive'
    /** Cannot be undone. */
    | 'destructive';

export interface Step {
    change: Change;
    risk: Risk;
    /** Why, in a few words: the operator reads it in the plan. */
    reason: string;
    /** Where in users.yaml the wish stands; empty for what is no longer declared. */
    path: string;
}

/** A reviewer's word on a whole plan. Of several, the strictest counts: deny, hold, allow. */
export type Verdict =
    | 'allow'
    | 'hold'
    | 'deny';

export interface Info {
    /**
     * Kebab-case, such as `standard`. Errors and plans name the module by the chain's
     * configuration; this is for people.
     */
    name: string;
    /** Semantic version. */
    version: string;
    /** One sentence. */
    summary: string;
    /** A JSON Schema for the module's settings. */
    settingsSchema?: string | null;
    /** Ask for the time of day, rounded down to this many seconds; `none`: no clock needed. */
    clockStepSeconds?: number | null;
}

export interface Transformed {
    /**
     * `none`: the spec stays as it was. To hand a large one back unchanged means the same, and takes
     * much longer.
     */
    spec?: Spec | null;
    findings: Finding[];
}

export interface Reviewed {
    verdict: Verdict;
    findings: Finding[];
}
