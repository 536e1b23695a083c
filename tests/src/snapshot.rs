//! What a server's roles look like, as text to compare: strictly (nothing was written at all) or as
//! a person would (the same roles, wherever they are).

use crate::Cluster;

/// Every row that role DDL can touch, with its version: equal only if nobody wrote any of them.
const FINGERPRINT: &str = "
    SELECT 'role ' || rolname || ' ' || xmin || ' ' || md5(a::text) FROM pg_authid a
    UNION ALL SELECT 'member ' || xmin || ' ' || m::text FROM pg_auth_members m
    UNION ALL SELECT 'setting ' || xmin || ' ' || s::text FROM pg_db_role_setting s
    UNION ALL SELECT 'comment ' || xmin || ' ' || d::text FROM pg_shdescription d
    UNION ALL SELECT 'database ' || xmin || ' ' || datname || ' ' || coalesce(datacl::text, '') FROM pg_database
    ORDER BY 1";

/// The same by name, without versions, OIDs and verifiers.
const ROLES: &str = "
    SELECT 'role ' || rolname || ' ' || concat_ws(' ', rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
               rolreplication, rolbypassrls, rolconnlimit, coalesce(rolvaliduntil::text, 'infinity'))
        FROM pg_authid WHERE rolname !~ '^pg_'
    UNION ALL SELECT 'member ' || m.rolname || ' in ' || r.rolname || CASE WHEN admin_option THEN ' admin' ELSE '' END
        FROM pg_auth_members JOIN pg_roles m ON m.oid = member JOIN pg_roles r ON r.oid = roleid
        WHERE m.rolname !~ '^pg_'
    UNION ALL SELECT 'database ' || datname || ' ' || coalesce(r.rolname, 'PUBLIC') || ' ' || privilege_type
            || CASE WHEN is_grantable THEN ' grantable' ELSE '' END
        FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) a LEFT JOIN pg_roles r ON r.oid = a.grantee
    ORDER BY 1";

impl Cluster {
    /// Equal to another one of the same server only if no role was written in between, not even
    /// with what it had before.
    pub fn fingerprint(&self) -> Vec<String> {
        self.column(FINGERPRINT)
    }

    /// Roles, memberships and database privileges by name: comparable between servers.
    pub fn roles(&self) -> Vec<String> {
        self.column(ROLES)
    }

    /// Names of the roles that `role` is a direct member of.
    pub fn memberships(&self, role: &str) -> Vec<String> {
        self.column(&format!(
            "SELECT DISTINCT r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
             WHERE m.member = (SELECT oid FROM pg_roles WHERE rolname = {}) ORDER BY 1",
            literal(role)
        ))
    }

    /// Whether there is a role of that name.
    pub fn has_role(&self, name: &str) -> bool {
        self.value(&format!("SELECT count(*) FROM pg_roles WHERE rolname = {}", literal(name))) == "1"
    }

    /// A column of `pg_authid` for a role, as text.
    pub fn attribute(&self, role: &str, column: &str) -> String {
        self.value(&format!("SELECT {column} FROM pg_authid WHERE rolname = {}", literal(role)))
    }

    /// Whether the role itself (not PUBLIC) holds CONNECT on the database.
    pub fn has_connect(&self, role: &str, database: &str) -> bool {
        self.value(&format!(
            "SELECT count(*) FROM pg_database d, aclexplode(d.datacl) a JOIN pg_roles r ON r.oid = a.grantee
             WHERE d.datname = {} AND r.rolname = {} AND a.privilege_type = 'CONNECT'",
            literal(database),
            literal(role)
        )) != "0"
    }

    /// Where the write-ahead log ends, after everything that is due has been written.
    pub fn wal_position(&self) -> String {
        self.value("SELECT pg_current_wal_insert_lsn()")
    }

    /// Makes the server quiet: what lazy maintenance a later read might do is done now.
    pub fn settle(&self) {
        let mut client = self.client("postgres");
        client.batch_execute("VACUUM (FREEZE)").expect("a superuser may vacuum");
        client.batch_execute("CHECKPOINT").expect("a superuser may checkpoint");
    }
}

/// A string constant, whatever is in it.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{quoted}'")
}

/// A quoted identifier, whatever is in it.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
