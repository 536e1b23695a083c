//! What a plan looks like: as text, JSON, SQL, Markdown, and as the lines of a dry run. Pure functions
//! from a [`View`] to text; nothing here decides, reads or prints.

pub mod access;
pub mod dry_run;
pub mod json;
pub mod markdown;
pub mod provenance;
mod script;
pub mod sql;
pub mod status;
pub mod text;

pub(crate) mod describe;
#[cfg(test)]
mod fixture;

use std::collections::BTreeMap;

use crate::catalog::Catalog;
use crate::model::{Credential, Role, Severity};
use crate::plan::Touch;
use crate::plan::{Change, Counts, Plan};
use crate::printable::{self, counted};
use crate::spec::Diagnostic;
use crate::spec::Parsed;
use crate::sql::statement::{Renderer, Style};

/// A plan, and all that is known about it.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What PostgreSQL holds.
    pub catalog: &'a Catalog,
    /// How many of each are changed.
    pub counts: Counts,
    /// What was said about the spec, worst first.
    pub findings: &'a [Diagnostic],
    /// What was declared: its users are shown in the order of the file.
    pub declared: &'a Parsed,
    /// Every role that the spec speaks of, complete.
    pub desired: &'a BTreeMap<String, Role>,
    /// Who receives what a removed role owned, unless a step says otherwise.
    pub reassign_owned_to: &'a str,
    /// The namespace that Secrets are in.
    pub namespace: &'a str,
    /// `host:port/database`.
    pub target: &'a str,
    /// The database that the controller connects to: a script ends there.
    pub database: &'a str,
    /// Why the plan waits for approval.
    pub held: Option<&'a str>,
    /// Why it will not run at all.
    pub refused: Option<&'a str>,
    /// What the rehearsal found, in a sentence.
    pub rehearsed: Option<&'a str>,
    /// What policies made of the spec before anything was planned.
    pub touches: &'a [Touch],
    /// Names of the modules of the chain, in order.
    pub modules: &'a [String],
}

impl<'a> View<'a> {
    fn renderer(&self, style: Style) -> Renderer<'a> {
        Renderer { catalog: self.catalog, reassign_owned_to: self.reassign_owned_to, style }
    }

    /// Where the password of a role comes from: `<from secret ns/name#key>`.
    fn secret_of(&self, role: &str) -> String {
        match self.desired.get(role).and_then(|role| role.credential.as_ref()) {
            Some(credential) => self.secret(credential),
            None => "<from its secret>".to_owned(),
        }
    }

    fn secret(&self, credential: &Credential) -> String {
        let text = format!("{}/{}#{}", self.namespace, credential.secret, credential.key);
        format!("<from secret {}>", printable::line(&text))
    }

    /// The SQL of one change for people to read: passwords named by their origin, hazards in names
    /// as escapes that mean the same.
    fn sql_of(&self, change: &Change) -> String {
        if let Some(script) = change.script().and_then(|name| self.script(name)) {
            return script::sql(script);
        }
        let statements: Vec<String> = self
            .renderer(Style::People)
            .change(change)
            .iter()
            .map(|statement| statement.text(|role, text| text.push_str(&self.secret_of(role))))
            .map(|text| sql::visible(&text))
            .collect();
        statements.join(";\n")
    }

    fn findings_of(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// What is at hand, in one line: the last of a plan.
    fn summary(&self) -> String {
        if self.plan.is_empty() {
            return match self.findings_of(Severity::Error) {
                0 => "Nothing to do: PostgreSQL is as declared.".to_owned(),
                errors => format!("Nothing to do but for {} above.", counted(errors, "error")),
            };
        }
        let counts = &self.counts;
        let mut text = format!(
            "Plan: {} to create, {} to change, {} to remove",
            counted(counts.users_created, "user"),
            counts.users_updated,
            counts.users_deleted
        );
        let mut add = |noun: &str, counts: &[(usize, &str)]| {
            let mut separator = "; ";
            for (count, verb) in counts.iter().filter(|(count, _)| *count > 0) {
                let what = if separator == "; " { counted(*count, noun) } else { count.to_string() };
                text.push_str(&format!("{separator}{what} to {verb}"));
                separator = ", ";
            }
        };
        let roles = [counts.roles_created, counts.roles_updated, counts.roles_deleted];
        add("role", &[(roles[0], "create"), (roles[1], "change"), (roles[2], "remove")]);
        add("database", &[(counts.databases_created, "create"), (counts.databases_updated, "change")]);
        add("script", &[(counts.scripts_run, "run")]);
        text.push('.');
        match counts.drift {
            0 => {}
            1 => text.push_str(" 1 step repairs drift."),
            many => text.push_str(&format!(" {many} steps repair drift.")),
        }
        text
    }
}
