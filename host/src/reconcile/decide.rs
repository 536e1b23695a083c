//! From what was seen to a plan that has been judged: the policies validate, transform and plan,
//! the host completes, orders and judges. Nothing is changed here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::rights::{self, LeftOut};
use super::{CycleError, Observation, Reconciler, digest, observe, scripts};
use crate::guard::{self, Bounds, GuardedPlan, Held, Judgement, Refusal};
use crate::model::{Finding, Mode, PUBLIC, Role, SecretState, Severity, Spec};
use crate::plan::cause::{self, Applied};
use crate::plan::{self, Cause, Change, Counts, Plan, Removal, Step, Touch};
use crate::policy::{self, Chain, Context};
use crate::postgres::snapshot;
use crate::resolve::renames::Rename;
use crate::resolve::{self, Grace, Resolved, databases, modes, renames, row_security, shared, terms, wishes};
use crate::secret::{Password, SecretRef, Secrets};
use crate::source::directives::PAUSED;
use crate::spec::Diagnostic;

/// Who asks for the steps that no policy asked for.
const BY_HOST: &str = "rolewright";

/// Whether a plan may run.
#[derive(Debug)]
pub enum Verdict {
    /// It may.
    Pass(GuardedPlan),
    /// It waits for approval.
    Held(Held),
    /// The guard says no.
    Refused(Refusal),
    /// The ConfigMap is annotated: nothing is applied for now.
    Paused,
    /// Findings stand against it.
    Blocked,
    /// Reviewers say no.
    Denied {
        /// Their names in the chain.
        by: Vec<String>,
    },
}

impl Verdict {
    /// Whether findings stand against everything.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self, Verdict::Blocked)
    }
}

/// Why a plan may not run, or that it may.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Pass(_) => f.write_str("the plan may run"),
            Verdict::Held(held) => held.fmt(f),
            Verdict::Refused(refusal) => refusal.fmt(f),
            Verdict::Paused => write!(f, "paused: nothing is applied while the ConfigMap is annotated {PAUSED}"),
            Verdict::Blocked => f.write_str("the findings stand against the whole spec; nothing was changed"),
            Verdict::Denied { by } => write!(f, "policy {} denies the plan; nothing was changed", by.join(", ")),
        }
    }
}

/// A plan with all that it stands on.
#[derive(Debug)]
pub struct Planned {
    /// What was seen.
    pub observation: Observation,
    /// The desired state.
    pub resolved: Resolved,
    /// The steps; the same as in the verdict, if that is a pass.
    pub plan: Arc<Plan>,
    /// Name of the module that planned.
    pub by: String,
    /// Whether it may run.
    pub verdict: Verdict,
    /// What host and policies have to say, with places.
    pub findings: Vec<Diagnostic>,
    /// What transforms made of the spec, and which policy did it.
    pub touches: Vec<Touch>,
    /// Whether inputs and catalog were found unchanged, so that nothing had to be decided.
    pub converged: bool,
}

impl Planned {
    /// The plan for a target that is as it should be.
    pub(super) fn nothing_to_do(observation: Observation) -> Planned {
        let plan = Arc::new(Plan { digest: observation.inputs.clone(), ..Plan::default() });
        Planned {
            observation,
            resolved: Resolved::default(),
            verdict: Verdict::Pass(GuardedPlan::empty(Arc::clone(&plan))),
            plan,
            by: String::new(),
            findings: Vec::new(),
            touches: Vec::new(),
            converged: true,
        }
    }

    /// Whether it is the plan that somebody approved, by the command or by an annotation.
    pub(super) fn is_approved(&self, approved: Option<&str>) -> bool {
        let approved = approved.or(self.observation.directives.approve.as_deref());
        approved == Some(self.plan.digest.as_str())
    }

    /// How many of each.
    pub fn counts(&self) -> Counts {
        self.plan.counts(&self.plan.users(&self.observation.catalog))
    }

    /// Passwords that the plan sets, by role.
    pub(super) fn passwords(&self) -> Vec<(String, Password)> {
        self.plan
            .steps
            .iter()
            .filter_map(|step| match &step.change {
                Change::CreateRole(role) => Some(role),
                Change::SetPassword(name) => self.resolved.desired.get(name),
                _ => None,
            })
            .filter_map(|role| Some((role.name.clone(), observe::password_of(role, &self.observation.secrets)?)))
            .collect()
    }

    /// Whether anything was found to be wrong.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

impl Reconciler {
    pub(super) async fn decide(
        &self,
        mut observation: Observation,
        chain: &Chain,
        approved: Option<&str>,
    ) -> Result<Planned, CycleError> {
        let context = self.context(&observation);
        let told =
            scripts::offer(&mut observation.spec, &observation.parsed.scripts, &observation.state.scripts, chain);
        let offered: BTreeSet<String> = observation.spec.scripts.iter().cloned().collect();
        let (mut spec, mut findings, touches) =
            tokio::task::block_in_place(|| declare(chain, &context, std::mem::take(&mut observation.spec)))?;
        findings.extend(told);
        let terms = terms::in_force(&mut spec, observe::now());
        findings.extend(terms.findings);
        findings.extend(rights::set_databases_aside(&mut spec, &observation.catalog));
        let mut questions = wishes::questions(&spec, &observation.catalog, &observation.state.records);
        databases::ask(&spec, &mut questions);
        row_security::ask(&spec, &mut questions);
        self.look_into(&mut observation.catalog, &questions, &observation.renames).await?;
        let known = &observation.state.expressions;
        let is_allowed = guard::row_security::is_allowed(&self.settings.allowed_powers);
        let (told, unsecured) = row_security::complete(&mut spec, &mut observation.catalog, known, is_allowed);
        findings.extend(told);
        findings.extend(modes::set_aside(&mut spec, &observation.catalog));
        findings.extend(databases::foresee(&mut spec, &mut observation.catalog, &questions));
        findings.extend(wishes::complete(&mut spec, &mut observation.catalog, &observation.state.records));
        findings.extend(shared::complete(&mut spec, &mut observation.catalog, &observation.state.records));
        let catalog = &observation.catalog;
        let seconds = i64::try_from(self.settings.removal_grace.as_secs()).unwrap_or(i64::MAX);
        let grace = Grace { now: observe::now(), seconds };
        let mut left_out = LeftOut::unrenamed(&observation.unrenamed);
        let (mut resolved, steps, by) = loop {
            let (records, in_sync) = (&observation.state.records, &observation.in_sync);
            let mut resolved =
                resolve::resolve_with((&left_out.roles, &left_out.wholly), grace, &spec, catalog, records, in_sync);
            resolved.renames.clone_from(&observation.renames);
            let ended = terms.ended.iter().filter(|(member, _)| !left_out.wholly.contains(member)).cloned();
            terms::enforce(&ended.collect::<Vec<_>>(), &spec, catalog, &mut resolved);
            let blocked = resolved.blocked
                || findings.iter().any(|finding| finding.policy.is_some() && finding.severity == Severity::Error);
            if blocked {
                explain_secrets(&mut resolved.findings, &spec, &observation.secrets);
                findings.extend(resolved.findings.iter().cloned());
                let findings = locate(&observation, findings);
                let plan = Arc::new(Plan::default());
                let (by, verdict) = (String::new(), Verdict::Blocked);
                return Ok(Planned { observation, resolved, plan, by, verdict, findings, touches, converged: false });
            }
            let (steps, by) =
                tokio::task::block_in_place(|| steps(chain, &context, &observation, &spec, &mut resolved))?;
            // Who needs somebody that is left out may have to be left out too: so the plan is made anew.
            if !left_out.grows(&steps, catalog, &resolved) {
                break (resolved, steps, by);
            }
        };
        left_out.tell(&spec, &mut resolved);
        resolved.unsecured = unsecured;
        let dropped = resolved.leaving.values().map(|leaving| leaving.until).min();
        self.ends_at(terms.next.into_iter().chain(dropped).chain(observation.generated.next).min());
        findings.extend(observation.generated.findings(steps.iter().map(|step| &step.change), &spec));
        explain_secrets(&mut resolved.findings, &spec, &observation.secrets);
        findings.extend(resolved.findings.iter().cloned());
        findings.extend(scripts::left_out(&offered, &steps, &observation, &by));
        let mut declared = (0, 0);
        for role in spec.roles.values().filter(|role| role.mode != Mode::Present && role.name != PUBLIC) {
            let is_user = role.is_user() || spec.disabled.contains(&role.name);
            *(if is_user { &mut declared.0 } else { &mut declared.1 }) += 1;
        }
        drop(spec);
        let removals = self.removals(&observation, &steps).await?;
        findings.extend(removals.iter().flat_map(|(role, removal)| obstacles(role, removal)));
        let text = observation.parsed.locations.document().text.as_str();
        let text = (text, &observation.parsed.scripts);
        let digest =
            digest::of_plan(&steps, text, &observation.generated.wishes, chain.digest(), catalog, &self.settings);
        let disabled = &resolved.disabled | &resolved.removable_users;
        let plan = Arc::new(Plan { digest, steps, removals, disabled });
        findings.extend(rights::unfinished(&plan, catalog));
        self.metrics.plan(plan.steps.len());
        // An annotation stays where it is when its plan has run: it must not stand in the way of others.
        let annotated = observation.directives.approve.as_deref().filter(|digest| *digest == plan.digest);
        let approved = approved.or(annotated);

        let before = renames::before(&observation.renames, &catalog.roles);
        let reviewed =
            tokio::task::block_in_place(|| chain.review(&context, &before, &catalog.databases, &plan.steps))?;
        findings.extend(reviewed.findings);
        let bounds = self.bounds(&observation, declared, approved);
        let verdict = match guard::judge(Arc::clone(&plan), &by, &resolved, catalog, &bounds) {
            Judgement::Refused(refusal) => Verdict::Refused(refusal),
            _ if reviewed.verdict == policy::Verdict::Deny => Verdict::Denied { by: reviewed.by },
            Judgement::Held(held) => Verdict::Held(held),
            Judgement::Pass(_)
                if reviewed.verdict == policy::Verdict::Hold && approved != Some(plan.digest.as_str()) =>
            {
                let why = format!("policy {} wants it to be approved", reviewed.by.join(", "));
                Verdict::Held(Held { why, digest: plan.digest.clone() })
            }
            Judgement::Pass(_) if observation.directives.paused && !plan.is_empty() => Verdict::Paused,
            Judgement::Pass(guarded) => Verdict::Pass(guarded),
        };
        let findings = locate(&observation, findings);
        Ok(Planned { observation, resolved, plan, by, verdict, findings, touches, converged: false })
    }

    fn context(&self, observation: &Observation) -> Context {
        Context {
            now: observe::now(),
            target: observation.catalog.server.target.clone(),
            server_version: observation.catalog.server.version,
            dry_run: self.settings.dry_run,
            reassign_owned_to: self.settings.reassign_owned_to.clone(),
            labels: self.settings.labels.clone(),
        }
    }

    /// What each removal will meet: asked only where there is one.
    async fn removals(
        &self,
        observation: &Observation,
        steps: &[Step],
    ) -> Result<BTreeMap<String, Removal>, CycleError> {
        let receivers: BTreeMap<String, String> = steps
            .iter()
            .filter_map(|step| match &step.change {
                Change::DropRole { name, reassign_to } => {
                    let receiver = reassign_to.as_ref().unwrap_or(&self.settings.reassign_owned_to);
                    Some((name.clone(), receiver.clone()))
                }
                _ => None,
            })
            .collect();
        if receivers.is_empty() {
            return Ok(BTreeMap::new());
        }
        let client = self.pool.get().await?;
        snapshot::removals(&client, &observation.catalog, &receivers).await.map_err(|error| {
            CycleError::postgres(&error, "ask what depends on roles that go", &observation.catalog.server)
        })
    }

    /// `declared`: users, and group roles.
    fn bounds(&self, observation: &Observation, declared: (usize, usize), approved: Option<&str>) -> Bounds {
        let managed = observation
            .state
            .records
            .iter()
            .filter(|(name, record)| record.is_declared() && observation.catalog.roles.contains_key(*name))
            .count();
        Bounds {
            deletions: self.settings.max_deletions.allowed(managed),
            allowed_powers: self.settings.allowed_powers.clone(),
            reassign_owned_to: self.settings.reassign_owned_to.clone(),
            users_declared: declared.0,
            roles_declared: declared.1,
            approved: approved.map(str::to_owned),
        }
    }
}

/// What will keep a role from being dropped, told before anything is done.
fn obstacles(role: &str, removal: &Removal) -> impl Iterator<Item = Finding> {
    removal.closed.iter().map(move |(database, why)| {
        let count = removal.dependencies.get(database).copied().unwrap_or_default();
        let objects = if count == 1 { "1 object depends".to_owned() } else { format!("{count} objects depend") };
        let message =
            format!("{role:?} loses its login, and cannot be dropped yet: {objects} on it in database {database:?}, and {why}");
        Finding::new(Severity::Warning, "removal-blocked", "", message).help(format!(
            "let the controller connect to {database:?}, or remove there by hand what depends on the role; its removal goes on then"
        ))
    })
}

/// validate → transform → validate.
fn declare(chain: &Chain, context: &Context, spec: Spec) -> Result<(Spec, Vec<Finding>, Vec<Touch>), CycleError> {
    let mut findings = chain.validate(context, &spec)?;
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Ok((spec, findings, Vec::new()));
    }
    let transformed = chain.transform(context, spec)?;
    if !transformed.touches.is_empty() {
        findings = chain.validate(context, &transformed.spec)?;
    }
    findings.extend(transformed.findings);
    Ok((transformed.spec, findings, transformed.touches))
}

/// What the planner proposes, ordered, with risk and cause.
fn steps(
    chain: &Chain,
    context: &Context,
    observation: &Observation,
    spec: &Spec,
    resolved: &mut Resolved,
) -> Result<(Vec<Step>, String), CycleError> {
    let catalog = &observation.catalog;
    let desired = resolved.lend();
    let planned = chain.plan(context, &desired, &catalog.roles, &catalog.databases);
    resolved.take_back(desired);
    let planned = planned?;
    let applied: BTreeMap<&str, Applied<'_>> = observation
        .state
        .records
        .iter()
        .filter_map(|(name, record)| {
            let secret_version = record.secret_version.as_deref();
            Some((name.as_str(), Applied { role: record.applied.as_ref()?, secret_version }))
        })
        .collect();
    let secret_version = |change: &Change| {
        let credential = change.role().and_then(|name| spec.roles.get(name))?.credential.as_ref()?;
        Some(credential.version.clone())
    };
    let declared = |change: &Change| change.role().and_then(|name| spec.roles.get(name));
    // Of databases and PUBLIC nothing is recorded. But where the same users.yaml was seen to agree, the server moved.
    let converged = observation.state.converged.as_ref();
    let unrecorded = match converged.is_some_and(|converged| converged.inputs == observation.inputs) {
        true => Cause::Drift,
        false => Cause::Spec,
    };
    let cause = |change: &Change| match change.own_database() {
        Some(_) => unrecorded,
        None => cause::of(change, &applied, secret_version(change).as_deref(), declared(change)),
    };
    let mut rest = plan::assemble(planned.proposals, &planned.by, cause);
    let tables = resolved.row_security.iter();
    let tables = tables.filter_map(|(table, wanted)| Some((table, row_security::found(catalog, table)?, wanted)));
    rest.extend(plan::row_security::steps(tables, unrecorded, BY_HOST));
    plan::order::sort(&mut rest);
    let mut steps = renaming(&observation.renames, spec);
    steps.extend(rest);
    scripts::settle(&mut steps, &observation.parsed.scripts, &observation.state.scripts);
    Ok((steps, planned.by))
}

/// The host's own steps, before all that a policy proposes: that sees the server as it will be after them.
fn renaming(renames: &[Rename], spec: &Spec) -> Vec<Step> {
    let step = |Rename { from, to }: &Rename| {
        let change = Change::RenameRole { from: from.clone(), to: to.clone() };
        let path = spec.roles.get(to).map(|role| format!("{}/renamed_from", role.path)).unwrap_or_default();
        let reason = format!("declared to have been {from}");
        Step { risk: change.risk(), change, reason, path, cause: Cause::Spec, by: BY_HOST.to_owned() }
    };
    renames.iter().map(step).collect()
}

/// Puts what the source has to say of a Secret into the finding about it: that it is missing is one
/// thing, that a right is missing another.
fn explain_secrets(findings: &mut [Finding], spec: &Spec, secrets: &Secrets) {
    let about = |finding: &Finding| finding.policy.is_none() && finding.code.starts_with("secret-");
    if !findings.iter().any(about) {
        return;
    }
    let roles: BTreeMap<&str, &Role> = spec.roles.values().map(|role| (role.path.as_str(), role)).collect();
    for finding in findings.iter_mut().filter(|finding| about(finding)) {
        let Some(role) = roles.get(finding.path.as_str()) else { continue };
        let Some(credential) = &role.credential else { continue };
        let reference = SecretRef { name: credential.secret.clone(), key: credential.key.clone() };
        if let Some(problem) = secrets.get(&reference).and_then(|secret| secret.problem.as_ref()) {
            finding.message = format!("{:?} is left as it is: {problem}", role.name);
        }
    }
}

fn locate(observation: &Observation, findings: Vec<Finding>) -> Vec<Diagnostic> {
    let mut located: Vec<Diagnostic> =
        findings.iter().map(|finding| observation.parsed.locations.locate(finding)).collect();
    located.sort_by(|a, b| (a.line, a.column, &a.code, &a.message).cmp(&(b.line, b.column, &b.code, &b.message)));
    located.dedup();
    located
}

/// The version of the Secret whose password the role has after the plan.
pub(super) fn secret_version(role: &Role) -> Option<String> {
    role.credential
        .as_ref()
        .filter(|credential| credential.state == SecretState::Present)
        .map(|credential| credential.version.clone())
}
