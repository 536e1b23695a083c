//! Which policy made what of the spec: a wish that stands in no users.yaml is shown with its author.

use super::describe;
use crate::model::{Limit, Mode, Role};
use crate::plan::Touch;
use crate::printable::name;

/// A field of a role that a policy has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish<'a> {
    /// The role.
    pub role: &'a str,
    /// The policy's name in the chain.
    pub policy: &'a str,
    /// As people call it, such as `valid until`; `role` for one that was added or taken out.
    pub field: &'static str,
    /// In words; empty where there was nothing.
    pub before: String,
    /// In words; empty where there is nothing.
    pub after: String,
}

/// Everything that policies changed, in the order of the chain.
pub fn wishes(touches: &[Touch]) -> Vec<Wish<'_>> {
    touches.iter().flat_map(wishes_of).collect()
}

fn wishes_of(touch: &Touch) -> Vec<Wish<'_>> {
    let wish = |field, before, after| Wish { role: &touch.role, policy: &touch.policy, field, before, after };
    match (&touch.before, &touch.after) {
        (Some(before), Some(after)) => {
            let fields = fields(before).into_iter().zip(fields(after));
            let differ = fields.filter(|((_, before), (_, after))| before != after);
            differ.map(|((field, before), (_, after))| wish(field, before, after)).collect()
        }
        (None, Some(_)) => vec![wish("role", String::new(), "added".to_owned())],
        (Some(_), None) => vec![wish("role", String::new(), "taken out".to_owned())],
        (None, None) => Vec::new(),
    }
}

/// The fields of a role in words, always the same ones in the same order. What belongs to the host
/// alone (credential, path, standing) is not among them: no policy can change it.
fn fields(role: &Role) -> [(&'static str, String); 9] {
    let listed = |words: Vec<String>| words.join(", ");
    let mode = match role.mode {
        Mode::Authoritative => "authoritative",
        Mode::Additive => "additive",
        Mode::Adopt => "adopt",
        Mode::Present => "present",
        Mode::Observe => "observe",
    };
    let limit = role.connection_limit.map(|limit| match limit {
        Limit::Unlimited => "unlimited".to_owned(),
        Limit::AtMost(most) => most.to_string(),
    });
    let setting = |setting: &crate::model::Setting| {
        let place = setting.database.as_deref().map(|database| format!(" in {}", name(database))).unwrap_or_default();
        format!("{}{place} = {}", name(&setting.name), name(&setting.value))
    };
    [
        ("mode", mode.to_owned()),
        ("attributes", describe::attributes(role.attributes)),
        ("connection limit", limit.unwrap_or_default()),
        ("valid until", role.valid_until.map(describe::moment).unwrap_or_default()),
        ("comment", role.comment.as_deref().map(name).map(|text| text.to_string()).unwrap_or_default()),
        ("member of", listed(role.memberships.iter().map(describe::edge).collect())),
        ("settings", listed(role.settings.iter().map(setting).collect())),
        ("privileges", listed(role.grants.iter().map(|it| describe::privilege(Some(""), it, it.privileges)).collect())),
        ("labels", listed(role.labels.iter().map(|(key, value)| format!("{}={}", name(key), name(value))).collect())),
    ]
}

impl Wish<'_> {
    /// `alice: valid until 2027-01-31T00:00:00Z instead of for ever (policy expiry)`.
    pub fn sentence(&self) -> String {
        let Wish { field, before, after, .. } = self;
        let what = match (*field, before.as_str(), after.as_str()) {
            ("role", _, done) => done.to_owned(),
            (field, "", after) => format!("{field} {after}"),
            (field, before, "") => format!("no {field} instead of {before}"),
            (field, before, after) => format!("{field} {after} instead of {before}"),
        };
        format!("{}: {what} (policy {})", name(self.role), name(self.policy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Expiry, Membership};

    #[test]
    fn each_field_that_a_policy_changed_is_told_with_its_author() {
        let before =
            Role { valid_until: Some(Expiry::Never), ..Role::new("alice", Mode::Authoritative, Attributes::USER) };
        let mut after = Role { valid_until: Some(Expiry::At(1_801_353_600)), ..before.clone() };
        after.memberships.push(Membership::plain("staff"));
        after.labels.insert("team".to_owned(), "data\n".to_owned());
        let touch = |role: &str, before: Option<&Role>, after: Option<&Role>| Touch {
            role: role.to_owned(),
            policy: "expiry".to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        };
        let touches = [
            touch("alice", Some(&before), Some(&after)),
            touch("x", None, Some(&before)),
            touch("y", Some(&before), None),
        ];
        let said: Vec<String> = wishes(&touches).iter().map(Wish::sentence).collect();
        insta::assert_snapshot!(said.join("\n"));
    }
}
