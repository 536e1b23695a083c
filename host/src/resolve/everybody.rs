//! What everybody gets on things that are made later: PostgreSQL gives PUBLIC privileges on each new routine and type, and
//! that default can be taken from an owner in all schemas only. Nobody declared that for the others, so what is made in a
//! closed schema is open until the next cycle, and this is said.

use std::collections::BTreeSet;

use crate::catalog::Objects;
use crate::model::{Finding, ObjectKind, Privileges, Role, Severity};
use crate::sql::quote::identifier_for_people as name;

/// A finding for each schema that PUBLIC is to hold less in than it gets, and each of those who make objects there.
pub(super) fn later<'a>(
    role: &Role,
    (database, objects): (&str, &Objects),
    wishes: impl Iterator<Item = (ObjectKind, &'a str, Privileges)>,
    makers: impl Fn(&'a str) -> BTreeSet<&'a str>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (kind, schema, wish) in wishes {
        let surplus = kind.of_everybody() - wish;
        if surplus.is_empty() {
            continue;
        }
        let (word, privilege) = (kind.word(), surplus.keywords().collect::<Vec<_>>().join(", "));
        let gives = |maker: &&str| !objects.closed_later.contains(&(kind, (*maker).to_owned()));
        for maker in makers(schema).into_iter().filter(gives) {
            let message = format!(
                "{word} that {maker:?} will make in schema {schema:?} of database {database:?} are open to everybody until \
                 the cycle after: PostgreSQL gives PUBLIC {privilege} on new ones"
            );
            let help = format!(
                "if new {word} of that owner are to be closed in all schemas, run ALTER DEFAULT PRIVILEGES FOR ROLE {} \
                 REVOKE {privilege} ON {} FROM PUBLIC there",
                name(maker),
                word.to_uppercase()
            );
            findings.push(Finding::new(Severity::Info, "future-objects", &role.path, message).help(help));
        }
    }
    findings
}
