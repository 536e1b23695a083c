# Written by guest-policies/types.mjs from wit/*.wit, which says the same. Do not edit.
"""The types of the contract."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, Flag
from typing import Annotated, Union

# Whole numbers, with the range that is theirs: a type checker takes them for `int`.
U8 = Annotated[int, range(2**8)]
U32 = Annotated[int, range(2**32)]
S64 = Annotated[int, range(-(2**63), 2**63)]


class Severity(Enum):
    """How much a finding matters. An `error` blocks the plan; a `warning` and an `info` are shown."""

    INFO = 0
    WARNING = 1
    ERROR = 2


@dataclass(slots=True)
class Finding:
    """Something a module has to say about the spec."""

    # A stable, kebab-case word for the rule, such as `reserved-name`. Scripts rely on it.
    code: str
    severity: Severity
    # An RFC 6901 pointer into users.yaml, such as `/users/0/roles/1`. The host turns it into
    # file, line and column. Every record that comes from the document carries its `path`.
    path: str
    # One sentence: what is wrong, and why.
    message: str
    # What to do about it.
    help: str | None = None


class Attributes(Flag):
    """Role attributes: https://www.postgresql.org/docs/current/role-attributes.html"""

    LOGIN = 1
    SUPERUSER = 2
    CREATEDB = 4
    CREATEROLE = 8
    INHERIT = 16
    REPLICATION = 32
    BYPASSRLS = 64


@dataclass(slots=True)
class LimitUnlimited:
    pass


@dataclass(slots=True)
class LimitAtMost:
    value: U32


# `CONNECTION LIMIT`: how many sessions the role may have at once.
Limit = Union[
    LimitUnlimited,
    LimitAtMost,
]


@dataclass(slots=True)
class ExpiryNever:
    pass


@dataclass(slots=True)
class ExpiryAt:
    value: S64


# `VALID UNTIL`: when the role's password stops working. In Unix seconds, rounded down.
Expiry = Union[
    ExpiryNever,
    ExpiryAt,
]


@dataclass(slots=True)
class Membership:
    """The edge from a member to a role that it is a member of.

    PostgreSQL 16 and later keep one edge for each grantor, each with its own options. On 14
    and 15 there is one edge and only `admin` is kept; `inherit` follows the member's INHERIT
    attribute and `set` is always true.
    """

    role: str
    admin: bool
    inherit: bool
    set: bool
    # Unix seconds at which the membership ends; `none`: it stays.
    until: S64 | None = None
    # Who granted it. As declared: `none`, any grantor will do. As found: always given.
    grantor: str | None = None


class SecretState(Enum):
    """What the host knows of the Secret that a password comes from."""

    PRESENT = 0
    MISSING = 1
    EMPTY = 2
    UNREADABLE = 3


@dataclass(slots=True)
class Credential:
    """What may be known of a password: never the password, a verifier, or a hash of either."""

    # Name of the Kubernetes Secret, and the key in it.
    secret: str
    key: str
    state: SecretState
    # The Secret's version, opaque; changes whenever the Secret is written.
    version: str
    # When the key was last written, in Unix seconds, as far as the source knows: who last wrote
    # it in the cluster, or the file's modification time. `none`: unknown.
    changed_at: S64 | None = None
    # The labels of the Secret, sorted by key.
    labels: list[Label] = field(default_factory=list)
    # Estimated strength, 0 (guessed at once) to 4 (strong); `none`: not estimated.
    strength: U8 | None = None
    # Does the server hold this password? `none`: the role does not exist yet.
    in_sync: bool | None = None


@dataclass(slots=True)
class Setting:
    """`ALTER ROLE … [IN DATABASE …] SET name = value`."""

    database: str | None
    name: str
    value: str


@dataclass(slots=True)
class QualifiedName:
    schema: str
    name: str


@dataclass(slots=True)
class RoutineName:
    """Functions and procedures: `arguments` as `pg_get_function_identity_arguments` prints them."""

    schema: str
    name: str
    arguments: str


@dataclass(slots=True)
class ColumnName:
    schema: str
    table: str
    column: str


@dataclass(slots=True)
class FutureObjects:
    """Objects that `owner` will create later, in one schema or (`none`) in any."""

    owner: str
    schema: str | None = None


@dataclass(slots=True)
class ObjectDatabase:
    value: str


@dataclass(slots=True)
class ObjectParameter:
    value: str


@dataclass(slots=True)
class ObjectTablespace:
    value: str


@dataclass(slots=True)
class ObjectSchema:
    value: str


@dataclass(slots=True)
class ObjectTable:
    value: QualifiedName


@dataclass(slots=True)
class ObjectColumn:
    value: ColumnName


@dataclass(slots=True)
class ObjectSequence:
    value: QualifiedName


@dataclass(slots=True)
class ObjectRoutine:
    value: RoutineName


@dataclass(slots=True)
class ObjectType:
    value: QualifiedName


@dataclass(slots=True)
class ObjectLanguage:
    value: str


@dataclass(slots=True)
class ObjectForeignDataWrapper:
    value: str


@dataclass(slots=True)
class ObjectForeignServer:
    value: str


@dataclass(slots=True)
class ObjectLargeObject:
    value: U32


@dataclass(slots=True)
class ObjectAllTables:
    """Every table, sequence, routine or type of a schema, those that come later included."""

    value: str


@dataclass(slots=True)
class ObjectAllSequences:
    value: str


@dataclass(slots=True)
class ObjectAllRoutines:
    value: str


@dataclass(slots=True)
class ObjectAllTypes:
    value: str


@dataclass(slots=True)
class ObjectFutureTables:
    """Default privileges: https://www.postgresql.org/docs/current/sql-alterdefaultprivileges.html"""

    value: FutureObjects


@dataclass(slots=True)
class ObjectFutureSequences:
    value: FutureObjects


@dataclass(slots=True)
class ObjectFutureRoutines:
    value: FutureObjects


@dataclass(slots=True)
class ObjectFutureTypes:
    value: FutureObjects


@dataclass(slots=True)
class ObjectFutureSchemas:
    value: FutureObjects


# What a privilege is held on. `table` stands for tables, views, materialized views and
# foreign tables alike. Databases, parameters and tablespaces belong to the whole server.
Object = Union[
    ObjectDatabase,
    ObjectParameter,
    ObjectTablespace,
    ObjectSchema,
    ObjectTable,
    ObjectColumn,
    ObjectSequence,
    ObjectRoutine,
    ObjectType,
    ObjectLanguage,
    ObjectForeignDataWrapper,
    ObjectForeignServer,
    ObjectLargeObject,
    ObjectAllTables,
    ObjectAllSequences,
    ObjectAllRoutines,
    ObjectAllTypes,
    ObjectFutureTables,
    ObjectFutureSequences,
    ObjectFutureRoutines,
    ObjectFutureTypes,
    ObjectFutureSchemas,
]


class Privileges(Flag):
    """https://www.postgresql.org/docs/current/ddl-priv.html"""

    SELECT = 1
    INSERT = 2
    UPDATE = 4
    DELETE = 8
    TRUNCATE = 16
    REFERENCES = 32
    TRIGGER = 64
    MAINTAIN = 128
    USAGE = 256
    CREATE = 512
    CONNECT = 1024
    TEMPORARY = 2048
    EXECUTE = 4096
    SET = 8192
    ALTER_SYSTEM = 16384


@dataclass(slots=True)
class Grant:
    """Privileges of one role on one object. `grantable` is the part of `privileges` held WITH
    GRANT OPTION.
    """

    # The database that the object lives in; `none` for objects of the whole server.
    database: str | None
    on: Object
    privileges: Privileges
    grantable: Privileges


class Standing(Enum):
    """Whose a role is; decided by the host, never by a module."""

    # Declared in the spec, or recorded in the ledger as made or adopted by Rolewright.
    MANAGED = 0
    # Never touched: `pg_*`, the bootstrap superuser, the controller's own role, and the
    # configured list.
    PROTECTED = 1
    # Somebody else's.
    FOREIGN = 2


class Mode(Enum):
    """How much of a declared role the spec speaks for."""

    # The role ends exactly as declared; whatever differs on the server is drift.
    AUTHORITATIVE = 0
    # What is declared is granted; what is there beyond it stays.
    ADDITIVE = 1
    # The role must exist, and is created when absent (this is what becomes of a group role
    # that is only named by its members). Found, it is left as it is.
    PRESENT = 2
    # Differences are reported, nothing is changed.
    OBSERVE = 3


@dataclass(slots=True)
class Label:
    key: str
    value: str


@dataclass(slots=True)
class Role:
    """PUBLIC is among the roles, too, on both sides, where users.yaml says what it may: under the
    name `public`, which PostgreSQL lets no role have. It holds grants and nothing else.
    """

    name: str
    mode: Mode
    standing: Standing
    attributes: Attributes
    # As declared: `none` leaves the host's default for the role's mode.
    connection_limit: Limit | None = None
    valid_until: Expiry | None = None
    comment: str | None = None
    memberships: list[Membership] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    # Has the role a password? As declared: `some(true)` with a Secret, `some(false)` for
    # `password: none`, `none` where the spec does not say. As found: `none` where the
    # server does not let the controller look.
    has_password: bool | None = None
    # As declared only.
    credential: Credential | None = None
    # As declared only.
    labels: list[Label] = field(default_factory=list)
    # Where in users.yaml the role is declared, or first named; empty as found.
    path: str = ""


@dataclass(slots=True)
class Schema:
    name: str
    owner: str | None = None
    path: str = ""


@dataclass(slots=True)
class Database:
    """What is not declared of it is `none`, and stays as it is. As found: the schemas of those
    databases that the spec declares schemas of.
    """

    name: str
    # As declared: `none` leaves the owner as it is.
    owner: str | None = None
    connection_limit: Limit | None = None
    comment: str | None = None
    schemas: list[Schema] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    path: str = ""


@dataclass(slots=True)
class Spec:
    """What users.yaml declares."""

    roles: list[Role] = field(default_factory=list)
    databases: list[Database] = field(default_factory=list)
    # Names of custom SQL scripts that may be run; their text stays with the host.
    scripts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Catalog:
    """What PostgreSQL holds: the roles that the plan may be about, and those that they touch."""

    roles: list[Role] = field(default_factory=list)
    databases: list[Database] = field(default_factory=list)


@dataclass(slots=True)
class Context:
    """All that a module may know of the world around it."""

    # Unix seconds, rounded down to the `clock-step-seconds` that the module asked for in
    # `describe`; `none` if it did not ask. The same inputs give the same answer.
    now: S64 | None
    # `host:port/database` of the server.
    target: str
    # As `server_version_num` prints it: 180004 is 18.4.
    server_version: U32
    dry_run: bool
    # Who receives what a removed role owned.
    reassign_owned_to: str
    labels: list[Label] = field(default_factory=list)


@dataclass(slots=True)
class RolePatch:
    """`ALTER ROLE`: what to switch on, what to switch off, and what to set. `none` leaves a
    field as it is; an empty comment removes it.
    """

    name: str
    set: Attributes
    clear: Attributes
    connection_limit: Limit | None = None
    valid_until: Expiry | None = None
    comment: str | None = None


@dataclass(slots=True)
class Removal:
    """The host removes a role in the only safe order: NOLOGIN, end its sessions, reassign what
    it owns and drop its privileges in every database, then DROP ROLE.
    """

    name: str
    # Who receives what it owned; `none`: the configured role. The guard refuses any other.
    reassign_to: str | None = None


@dataclass(slots=True)
class Rename:
    from_: str
    to: str


@dataclass(slots=True)
class Edge:
    """To revoke, name the edge by its `grantor` as found; to grant, leave it `none`."""

    member: str
    membership: Membership


@dataclass(slots=True)
class RoleGrant:
    """`role` is `none` for PUBLIC. To revoke: `privileges` go wholly; of `grantable`, those that are
    not among `privileges` lose only their grant option.
    """

    role: str | None
    grant: Grant


@dataclass(slots=True)
class RoleSetting:
    role: str
    setting: Setting


@dataclass(slots=True)
class ChangeCreateRole:
    """The role with its attributes and memberships, and with its password if its credential is
    present. Its grants and settings are steps of their own.
    """

    value: Role


@dataclass(slots=True)
class ChangeAlterRole:
    value: RolePatch


@dataclass(slots=True)
class ChangeRenameRole:
    value: Rename


@dataclass(slots=True)
class ChangeSetPassword:
    """Set the password of this role from its Secret."""

    value: str


@dataclass(slots=True)
class ChangeClearPassword:
    """`PASSWORD NULL`."""

    value: str


@dataclass(slots=True)
class ChangeGrantRole:
    value: Edge


@dataclass(slots=True)
class ChangeRevokeRole:
    value: Edge


@dataclass(slots=True)
class ChangeGrantPrivilege:
    value: RoleGrant


@dataclass(slots=True)
class ChangeRevokePrivilege:
    value: RoleGrant


@dataclass(slots=True)
class ChangeSetSetting:
    value: RoleSetting


@dataclass(slots=True)
class ChangeResetSetting:
    value: RoleSetting


@dataclass(slots=True)
class ChangeDropRole:
    value: Removal


@dataclass(slots=True)
class ChangeCreateDatabase:
    """With all that is declared of it; the host takes it apart."""

    value: Database


@dataclass(slots=True)
class ChangeAlterDatabase:
    """What differs: `none` leaves a field as it is, and `schemas` are those to make or to give
    to another owner.
    """

    value: Database


@dataclass(slots=True)
class ChangeRunScript:
    """Run the custom script of this name."""

    value: str


Change = Union[
    ChangeCreateRole,
    ChangeAlterRole,
    ChangeRenameRole,
    ChangeSetPassword,
    ChangeClearPassword,
    ChangeGrantRole,
    ChangeRevokeRole,
    ChangeGrantPrivilege,
    ChangeRevokePrivilege,
    ChangeSetSetting,
    ChangeResetSetting,
    ChangeDropRole,
    ChangeCreateDatabase,
    ChangeAlterDatabase,
    ChangeRunScript,
]


class Risk(Enum):
    """How bad it is if the step turns out to be a mistake. The host computes its own and takes
    the higher of the two: a module can warn, never play down.
    """

    # Adds something that can be taken away again.
    SAFE = 0
    # Takes access away, or changes how somebody logs in.
    DISRUPTIVE = 1
    # Cannot be undone.
    DESTRUCTIVE = 2


@dataclass(slots=True)
class Step:
    change: Change
    risk: Risk
    # Why, in a few words: the operator reads it in the plan.
    reason: str
    # Where in users.yaml the wish stands; empty for what is no longer declared.
    path: str = ""


class Verdict(Enum):
    """A reviewer's word on a whole plan. Of several, the strictest counts: deny, hold, allow."""

    ALLOW = 0
    HOLD = 1
    DENY = 2


@dataclass(slots=True)
class Info:
    # Kebab-case, such as `standard`. Errors and plans name the module by the chain's
    # configuration; this is for people.
    name: str
    # Semantic version.
    version: str
    # One sentence.
    summary: str
    # A JSON Schema for the module's settings.
    settings_schema: str | None = None
    # Ask for the time of day, rounded down to this many seconds; `none`: no clock needed.
    clock_step_seconds: U32 | None = None


@dataclass(slots=True)
class Transformed:
    # `none`: the spec stays as it was. To hand a large one back unchanged means the same, and takes
    # much longer.
    spec: Spec | None = None
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class Reviewed:
    verdict: Verdict
    findings: list[Finding] = field(default_factory=list)
