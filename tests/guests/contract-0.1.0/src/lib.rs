//! A policy as it was built against version 0.1.0 of the contract: its own copy of the WIT, its own bindings, every stage.
//! It is never adapted to a later contract. As long as a host takes it and it does its work, what was promised to those
//! who built modules then is kept; see docs/decisions/contract.md.

#![allow(missing_docs)] // what wit-bindgen makes is documented in the WIT

wit_bindgen::generate!({ path: "wit", world: "full" });

use exports::rolewright::policy::{configure, describe, plan, review, transform, validate};
use rolewright::policy::changes::{Change, Risk, RoleGrant, Step, Verdict};
use rolewright::policy::log;
use rolewright::policy::types::{Attributes, Catalog, Context, Finding, Severity, Spec};

struct Built;

/// What becomes of every user's comment.
const COMMENT: &str = "kept as of contract 0.1.0";

fn finding(code: &str, path: &str, message: String) -> Finding {
    Finding { code: code.to_owned(), severity: Severity::Warning, path: path.to_owned(), message, help: None }
}

impl describe::Guest for Built {
    fn describe() -> describe::Info {
        describe::Info {
            name: "contract-0-1-0".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "Does a little in every stage.".to_owned(),
            settings_schema: Some("{}".to_owned()),
            clock_step_seconds: Some(3600),
        }
    }
}

impl configure::Guest for Built {
    fn validate_settings(settings: String) -> Vec<Finding> {
        let refused = settings.contains("refuse");
        let error = || Finding { severity: Severity::Error, ..finding("refused", "/refuse", "as asked".to_owned()) };
        refused.then(error).into_iter().collect()
    }
}

impl validate::Guest for Built {
    fn validate(context: Context, _: String, spec: Spec) -> Result<Vec<Finding>, String> {
        log::emit(log::Level::Info, "validating as of contract 0.1.0");
        let hour = context.now.filter(|now| now % 3600 == 0).ok_or("the time is not rounded to the hour")?;
        let users = spec.roles.iter().filter(|role| role.credential.is_some());
        let seen = users.map(|role| {
            let secret = role.credential.as_ref().map(|credential| credential.secret.as_str()).unwrap_or_default();
            finding("seen", &role.path, format!("{} with {secret}, after {}", role.name, hour > 0))
        });
        Ok(seen.collect())
    }
}

impl transform::Guest for Built {
    fn transform(_: Context, _: String, mut spec: Spec) -> Result<transform::Outcome, String> {
        for role in spec.roles.iter_mut().filter(|role| role.attributes.contains(Attributes::LOGIN)) {
            role.comment = Some(COMMENT.to_owned());
        }
        Ok(transform::Outcome { spec: Some(spec), findings: Vec::new() })
    }
}

impl plan::Guest for Built {
    /// Enough for a server that has none of the roles yet, and for one that has them all.
    fn plan(_: Context, _: String, desired: Spec, actual: Catalog) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        for role in desired.roles {
            if actual.roles.iter().any(|found| found.name == role.name) {
                continue;
            }
            let mut add = |change: Change| {
                steps.push(Step {
                    change,
                    risk: Risk::Safe,
                    reason: "not there yet".to_owned(),
                    path: role.path.clone(),
                });
            };
            for grant in &role.grants {
                add(Change::GrantPrivilege(RoleGrant { role: Some(role.name.clone()), grant: grant.clone() }));
            }
            add(Change::CreateRole(role.clone()));
        }
        Ok(steps)
    }
}

impl review::Guest for Built {
    fn review(_: Context, _: String, _: Catalog, steps: Vec<Step>) -> Result<review::Outcome, String> {
        let findings = vec![finding("reviewed", "", format!("{} steps", steps.len()))];
        Ok(review::Outcome { verdict: Verdict::Allow, findings })
    }
}

#[cfg(target_arch = "wasm32")]
export!(Built);
