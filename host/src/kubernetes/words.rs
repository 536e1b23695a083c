//! What an API server answered, in words: what was tried, on what, why it failed, what to do next.
//! Nothing of what was sent is repeated, and no address.

use std::error::Error as _;
use std::time::Duration;

use crate::printable;

/// What was tried, for the words of an error.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// Verb of RBAC: `get`, `list`, `watch`, `create`, `patch`.
    pub verb: &'static str,
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resource, in the plural.
    pub resource: &'static str,
    /// Name of the object, if it is about one.
    pub name: Option<&'a str>,
    /// Namespace.
    pub namespace: &'a str,
}

impl Access<'_> {
    /// `list secrets "user-alice-secret" in namespace "postgres"`.
    fn attempt(&self) -> String {
        let name = self.name.map(|name| format!(" {name:?}")).unwrap_or_default();
        format!("{} {}{name} in namespace {:?}", self.verb, self.resource, self.namespace)
    }

    /// `verb list on resource secrets (resourceNames: user-alice-secret)`.
    fn rule(&self) -> String {
        let resource = match self.group {
            "" => self.resource.to_owned(),
            group => format!("{}.{group}", self.resource),
        };
        // A rule with resourceNames lets nobody create but by server-side apply, which names the object.
        let names = self.name.map(|name| format!(" (resourceNames: {name})")).unwrap_or_default();
        format!("verb {} on resource {resource}{names}", self.verb)
    }
}

/// The answer to an attempt, as one sentence. A missing right is named as the rule that gives it.
pub fn explain(error: &kube::Error, access: &Access<'_>) -> String {
    let attempt = access.attempt();
    match error {
        kube::Error::Api(status) if is_forbidden(error) => match refused_verb(&status.message) {
            Some(verb) => {
                let access = Access { verb, ..*access };
                format!("may not {}: the Role of this ServiceAccount needs {}", access.attempt(), access.rule())
            }
            // Quotas, admission webhooks and a namespace that is going away answer 403 as well.
            None => format!("may not {attempt}: the API server says \"{}\"", printable::line(&status.message)),
        },
        kube::Error::Api(status) if status.code == 401 => format!(
            "cannot {attempt}: the API server did not accept the token; if it does not recover by itself, check that the \
             ServiceAccount exists, or renew the credentials in the kubeconfig"
        ),
        kube::Error::Api(status) if status.code == 404 && access.name.is_none() => format!(
            "cannot {attempt}: the API server knows no resource {}; check that it is a supported version",
            access.resource
        ),
        kube::Error::Api(status) => {
            let said = if status.message.is_empty() { &status.reason } else { &status.message };
            format!("cannot {attempt}: the API server says \"{}\" [{}]", printable::line(said), status.code)
        }
        kube::Error::SerdeError(_) => {
            format!("cannot {attempt}: the answer is not what an API server gives; check that no proxy is in the way")
        }
        kube::Error::Auth(_) => format!("cannot {attempt}: no credentials could be had for it ({})", cause(error)),
        _ => format!("cannot {attempt}: the API server cannot be reached ({})", cause(error)),
    }
}

/// The verb that RBAC misses. It need not be the one that was tried: to apply what does not exist yet
/// takes both `patch` and `create`.
fn refused_verb(message: &str) -> Option<&'static str> {
    let (_, denied) = message.split_once(" cannot ")?;
    let verb = denied.split_once(" resource ")?.0;
    ["get", "list", "watch", "create", "patch", "update", "delete"].into_iter().find(|known| *known == verb)
}

/// Whether a right is missing.
pub fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// Whether the same may well go a little later. A token that is being rotated is refused for a moment.
pub fn is_transient(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 401 | 408 | 429) || status.code >= 500,
        _ => true,
    }
}

/// The error of a request that was given up.
pub fn timed_out(after: Duration) -> kube::Error {
    kube::Error::Service(format!("no answer within {} s", after.as_secs_f64()).into())
}

/// The innermost cause, which says it best and knows no address.
pub(super) fn cause(error: &kube::Error) -> String {
    if let kube::Error::Auth(kube::client::AuthError::AuthExecRun { .. } | kube::client::AuthError::AuthExecParse(_)) =
        error
    {
        // What it printed may hold a token.
        return "the credential plugin that the kubeconfig names has failed; run it by hand".to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = match error.source() {
        None => error.to_string(),
        Some(_) => innermost.to_string(),
    };
    printable::line(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    const SECRET: Access<'_> =
        Access { verb: "list", group: "", resource: "secrets", name: Some("user-alice-secret"), namespace: "postgres" };
    const LEASE: Access<'_> = Access {
        verb: "patch",
        group: "coordination.k8s.io",
        resource: "leases",
        name: Some("postgres-users-config"),
        namespace: "postgres",
    };

    fn answer(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Status::failure(message, "").with_code(code).boxed())
    }

    #[test]
    fn a_missing_right_is_named_as_the_rule_that_gives_it() {
        let denied = "secrets is forbidden: User \"system:serviceaccount:postgres:rolewright\" cannot list resource \
                      \"secrets\" in API group \"\" in the namespace \"postgres\"";
        insta::assert_snapshot!(
            explain(&answer(403, denied), &SECRET),
            @r#"may not list secrets "user-alice-secret" in namespace "postgres": the Role of this ServiceAccount needs verb list on resource secrets (resourceNames: user-alice-secret)"#
        );
        let denied = "leases.coordination.k8s.io is forbidden: User \"x\" cannot patch resource \"leases\"";
        insta::assert_snapshot!(
            explain(&answer(403, denied), &LEASE),
            @r#"may not patch leases "postgres-users-config" in namespace "postgres": the Role of this ServiceAccount needs verb patch on resource leases.coordination.k8s.io (resourceNames: postgres-users-config)"#
        );
        let events =
            Access { verb: "create", group: "events.k8s.io", resource: "events", name: None, namespace: "postgres" };
        let denied = "events.events.k8s.io is forbidden: User \"x\" cannot create resource \"events\"";
        insta::assert_snapshot!(
            explain(&answer(403, denied), &events),
            @r#"may not create events in namespace "postgres": the Role of this ServiceAccount needs verb create on resource events.events.k8s.io"#
        );
    }

    #[test]
    fn a_quota_is_not_taken_for_a_missing_right() {
        let words = explain(&answer(403, "exceeded quota: objects, used: count/configmaps=3"), &SECRET);
        assert!(words.contains("exceeded quota") && !words.contains("the Role"), "{words}");
    }

    #[test]
    fn other_answers_say_what_was_tried_and_what_came_back() {
        insta::assert_snapshot!(
            explain(&answer(401, "Unauthorized"), &SECRET),
            @r#"cannot list secrets "user-alice-secret" in namespace "postgres": the API server did not accept the token; if it does not recover by itself, check that the ServiceAccount exists, or renew the credentials in the kubeconfig"#
        );
        insta::assert_snapshot!(
            explain(&answer(500, "etcdserver: request timed out"), &SECRET),
            @r#"cannot list secrets "user-alice-secret" in namespace "postgres": the API server says "etcdserver: request timed out" [500]"#
        );
        insta::assert_snapshot!(
            explain(&timed_out(Duration::from_secs(5)), &LEASE),
            @r#"cannot patch leases "postgres-users-config" in namespace "postgres": the API server cannot be reached (no answer within 5 s)"#
        );
    }

    #[test]
    fn what_may_pass_by_itself_is_told_from_what_does_not() {
        for code in [401, 429, 500, 503] {
            assert!(is_transient(&answer(code, "")), "{code}");
        }
        for code in [403, 404, 409, 422] {
            assert!(!is_transient(&answer(code, "")), "{code}");
        }
        assert!(is_transient(&timed_out(Duration::from_secs(5))));
    }
}
