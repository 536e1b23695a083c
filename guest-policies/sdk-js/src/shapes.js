// Written by guest-policies/types.mjs from wit/*.wit, which says the same. Do not edit.
// What each type of the contract looks like, for check.js.

export const shapes = {
    Severity: {
        enum: ['info', 'warning', 'error'],
    },
    Finding: {
        record: {
            code: 'string',
            severity: 'Severity',
            path: 'string',
            message: 'string',
            help: { option: 'string' },
        },
    },
    Attributes: {
        flags: ['login', 'superuser', 'createdb', 'createrole', 'inherit', 'replication', 'bypassrls'],
    },
    Limit: {
        variant: {
            unlimited: null,
            'at-most': 'u32',
        },
    },
    Expiry: {
        variant: {
            never: null,
            at: 's64',
        },
    },
    Membership: {
        record: {
            role: 'string',
            admin: 'bool',
            inherit: 'bool',
            set: 'bool',
            until: { option: 's64' },
            grantor: { option: 'string' },
        },
    },
    SecretState: {
        enum: ['present', 'missing', 'empty', 'unreadable'],
    },
    Credential: {
        record: {
            secret: 'string',
            key: 'string',
            state: 'SecretState',
            version: 'string',
            changedAt: { option: 's64' },
            labels: { list: 'Label' },
            strength: { option: 'u8' },
            inSync: { option: 'bool' },
        },
    },
    Setting: {
        record: {
            database: { option: 'string' },
            name: 'string',
            value: 'string',
        },
    },
    QualifiedName: {
        record: {
            schema: 'string',
            name: 'string',
        },
    },
    RoutineName: {
        record: {
            schema: 'string',
            name: 'string',
            arguments: 'string',
        },
    },
    ColumnName: {
        record: {
            schema: 'string',
            table: 'string',
            column: 'string',
        },
    },
    FutureObjects: {
        record: {
            owner: 'string',
            schema: { option: 'string' },
        },
    },
    Object: {
        variant: {
            database: 'string',
            parameter: 'string',
            tablespace: 'string',
            schema: 'string',
            table: 'QualifiedName',
            column: 'ColumnName',
            sequence: 'QualifiedName',
            routine: 'RoutineName',
            type: 'QualifiedName',
            language: 'string',
            'foreign-data-wrapper': 'string',
            'foreign-server': 'string',
            'large-object': 'u32',
            'all-tables': 'string',
            'all-sequences': 'string',
            'all-routines': 'string',
            'all-types': 'string',
            'future-tables': 'FutureObjects',
            'future-sequences': 'FutureObjects',
            'future-routines': 'FutureObjects',
            'future-types': 'FutureObjects',
            'future-schemas': 'FutureObjects',
        },
    },
    Privileges: {
        flags: ['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger', 'maintain', 'usage', 'create', 'connect', 'temporary', 'execute', 'set', 'alterSystem'],
    },
    Grant: {
        record: {
            database: { option: 'string' },
            on: 'Object',
            privileges: 'Privileges',
            grantable: 'Privileges',
        },
    },
    Standing: {
        enum: ['managed', 'protected', 'foreign'],
    },
    Mode: {
        enum: ['authoritative', 'additive', 'present', 'observe'],
    },
    Label: {
        record: {
            key: 'string',
            value: 'string',
        },
    },
    Role: {
        record: {
            name: 'string',
            mode: 'Mode',
            standing: 'Standing',
            attributes: 'Attributes',
            connectionLimit: { option: 'Limit' },
            validUntil: { option: 'Expiry' },
            comment: { option: 'string' },
            memberships: { list: 'Membership' },
            settings: { list: 'Setting' },
            grants: { list: 'Grant' },
            hasPassword: { option: 'bool' },
            credential: { option: 'Credential' },
            labels: { list: 'Label' },
            path: 'string',
        },
    },
    Schema: {
        record: {
            name: 'string',
            owner: { option: 'string' },
            path: 'string',
        },
    },
    Database: {
        record: {
            name: 'string',
            owner: { option: 'string' },
            connectionLimit: { option: 'Limit' },
            comment: { option: 'string' },
            schemas: { list: 'Schema' },
            labels: { list: 'Label' },
            path: 'string',
        },
    },
    Spec: {
        record: {
            roles: { list: 'Role' },
            databases: { list: 'Database' },
            scripts: { list: 'string' },
        },
    },
    Catalog: {
        record: {
            roles: { list: 'Role' },
            databases: { list: 'Database' },
        },
    },
    Context: {
        record: {
            now: { option: 's64' },
            target: 'string',
            serverVersion: 'u32',
            dryRun: 'bool',
            reassignOwnedTo: 'string',
            labels: { list: 'Label' },
        },
    },
    RolePatch: {
        record: {
            name: 'string',
            set: 'Attributes',
            clear: 'Attributes',
            connectionLimit: { option: 'Limit' },
            validUntil: { option: 'Expiry' },
            comment: { option: 'string' },
        },
    },
    Removal: {
        record: {
            name: 'string',
            reassignTo: { option: 'string' },
        },
    },
    Rename: {
        record: {
            from: 'string',
            to: 'string',
        },
    },
    Edge: {
        record: {
            member: 'string',
            membership: 'Membership',
        },
    },
    RoleGrant: {
        record: {
            role: { option: 'string' },
            grant: 'Grant',
        },
    },
    RoleSetting: {
        record: {
            role: 'string',
            setting: 'Setting',
        },
    },
    Change: {
        variant: {
            'create-role': 'Role',
            'alter-role': 'RolePatch',
            'rename-role': 'Rename',
            'set-password': 'string',
            'clear-password': 'string',
            'grant-role': 'Edge',
            'revoke-role': 'Edge',
            'grant-privilege': 'RoleGrant',
            'revoke-privilege': 'RoleGrant',
            'set-setting': 'RoleSetting',
            'reset-setting': 'RoleSetting',
            'drop-role': 'Removal',
            'create-database': 'Database',
            'alter-database': 'Database',
            'run-script': 'string',
        },
    },
    Risk: {
        enum: ['safe', 'disruptive', 'destructive'],
    },
    Step: {
        record: {
            change: 'Change',
            risk: 'Risk',
            reason: 'string',
            path: 'string',
        },
    },
    Verdict: {
        enum: ['allow', 'hold', 'deny'],
    },
    Info: {
        record: {
            name: 'string',
            version: 'string',
            summary: 'string',
            settingsSchema: { option: 'string' },
            clockStepSeconds: { option: 'u32' },
        },
    },
    Transformed: {
        record: {
            spec: { option: 'Spec' },
            findings: { list: 'Finding' },
        },
    },
    Reviewed: {
        record: {
            verdict: 'Verdict',
            findings: { list: 'Finding' },
        },
    },
};
