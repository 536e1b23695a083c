//! Who we are to a registry: the file that `docker login` writes, and that a Secret of type
//! `kubernetes.io/dockerconfigjson` holds. It is read for each fetch, so that a rotated token takes
//! effect. Programs that such a file may name (`credHelpers`) are not run.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use serde::Deserialize;

use super::error::Problem;
use super::reference::Reference;
use crate::secret::Password;

/// What to show to a registry.
#[derive(Debug, Clone)]
pub(super) enum Credentials {
    /// Name and password.
    Basic { user: String, password: Password },
    /// A token that buys others.
    Identity(Password),
    /// A token for the registry itself.
    Bearer(Password),
}

/// What a file has for a registry.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) credentials: Option<Credentials>,
    /// What to tell whoever is refused.
    pub(super) advice: &'static str,
}

const NO_FILE: &str = "give credentials in REGISTRY_AUTH_FILE (the form of ~/.docker/config.json)";
const NO_ENTRY: &str = "REGISTRY_AUTH_FILE has no entry in `auths` for it";
const HELPER: &str = "REGISTRY_AUTH_FILE names a credential helper, and such programs are not run here: put the credentials \
                      themselves into `auths`";
const REFUSED: &str = "the credentials for it in REGISTRY_AUTH_FILE are not accepted, or do not reach as far as this \
                       repository";

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "identitytoken")]
    identity: Option<String>,
    #[serde(rename = "registrytoken")]
    bearer: Option<String>,
}

/// What the file has for the registry of this reference; without a file, nothing.
pub(super) fn read(path: Option<&Path>, reference: &Reference) -> Result<Found, Problem> {
    let Some(path) = path else { return Ok(Found { credentials: None, advice: NO_FILE }) };
    let problem = |why: String| Problem::Credentials { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|error| problem(format!("cannot be read: {error}")))?;
    // The parser's own words may quote what stands there.
    let file: File = serde_json::from_str(&text).map_err(|error| {
        problem(format!("is not as it should be in line {}, column {}", error.line(), error.column()))
    })?;
    find(&file, reference).map_err(problem)
}

fn find(file: &File, reference: &Reference) -> Result<Found, String> {
    // As the kubelet does: an entry may be for a part of a registry, and the longest wins.
    let wanted = format!("{}/{}", canonical(reference.host()), reference.repository());
    let covers = |key: &&String| {
        let key = canonical(key);
        wanted.strip_prefix(&*key).is_some_and(|rest| rest.starts_with('/'))
    };
    let Some(key) = file.auths.keys().filter(covers).max_by_key(|key| canonical(key).len()) else {
        let helped = file.store.is_some() || file.helpers.keys().any(|key| covers(&key));
        return Ok(Found { credentials: None, advice: if helped { HELPER } else { NO_ENTRY } });
    };
    let credentials = credentials(&file.auths[key]).map_err(|why| format!("{why} in `auths` for {key:?}"))?;
    let advice = match &credentials {
        None if file.store.is_some() => HELPER,
        None => NO_ENTRY,
        Some(_) => REFUSED,
    };
    Ok(Found { credentials, advice })
}

fn credentials(entry: &Entry) -> Result<Option<Credentials>, &'static str> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(token) = given(&entry.bearer) {
        return Ok(Some(Credentials::Bearer(Password::new(token))));
    }
    if let Some(token) = given(&entry.identity) {
        return Ok(Some(Credentials::Identity(Password::new(token))));
    }
    if let Some(auth) = given(&entry.auth) {
        let wrong = "has an `auth` that is not USER:PASSWORD in base64";
        let bytes = base64::engine::general_purpose::STANDARD.decode(auth.trim()).map_err(|_| wrong)?;
        let text = String::from_utf8(bytes).map_err(|_| wrong)?;
        let (user, password) = text.split_once(':').ok_or(wrong)?;
        // Older versions of docker pad it.
        let password = Password::new(password.trim_end_matches('\0').to_owned());
        return Ok(Some(Credentials::Basic { user: user.to_owned(), password }));
    }
    match (given(&entry.username), given(&entry.password)) {
        (Some(user), Some(password)) => Ok(Some(Credentials::Basic { user, password: Password::new(password) })),
        _ => Ok(None),
    }
}

/// A key of `auths` as a host, or a host and a path. Docker Hub goes by several names there.
fn canonical(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let bare = bare.trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    match bare {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: serde_json::Value, reference: &str) -> Found {
        let file: File = serde_json::from_value(file).unwrap();
        find(&file, &reference.parse().unwrap()).unwrap()
    }

    fn user(found: Found) -> Option<String> {
        match found.credentials? {
            Credentials::Basic { user, .. } => Some(user),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_longest_entry_that_covers_a_repository_wins() {
        let of = |name: &str| serde_json::json!({ "username": name, "password": "secret-word" });
        let file = serde_json::json!({ "auths": {
            "registry.example": of("all"), "https://registry.example/team/": of("team"), "registry.example:5000": of("port"),
            "https://index.docker.io/v1/": of("hub"),
        } });
        for (reference, wanted) in [
            ("oci://registry.example/other/x:1", Some("all")),
            ("oci://registry.example/team/x:1", Some("team")),
            ("oci://registry.example/teams/x:1", Some("all")),
            ("oci://registry.example:5000/team/x:1", Some("port")),
            ("oci://docker.io/team/x:1", Some("hub")),
            ("oci://registry.example.evil/team/x:1", None),
        ] {
            assert_eq!(user(found(file.clone(), reference)).as_deref(), wanted, "{reference}");
        }
    }

    #[test]
    fn every_form_of_an_entry_is_understood_and_none_prints_itself() {
        let auth = base64::engine::general_purpose::STANDARD.encode("robot:marble:otter");
        for entry in [
            serde_json::json!({ "auth": auth }),
            serde_json::json!({ "auth": "", "identitytoken": "marble:otter" }),
            serde_json::json!({ "registrytoken": "marble:otter" }),
        ] {
            let found = found(serde_json::json!({ "auths": { "r": entry } }), "oci://r/x:1");
            assert!(!format!("{found:?}").contains("marble"));
            let (Credentials::Basic { password, .. } | Credentials::Identity(password) | Credentials::Bearer(password)) =
                found.credentials.unwrap();
            assert_eq!(password.reveal(), "marble:otter");
        }
        let file: File = serde_json::from_str(r#"{"auths": {"r": {"auth": "bWFyYmxl"}}}"#).unwrap();
        let why = find(&file, &"oci://r/x:1".parse().unwrap()).unwrap_err();
        assert!(why.contains("USER:PASSWORD") && !why.contains("bWFy"), "{why}");
    }

    #[test]
    fn who_has_only_a_credential_helper_is_told_so() {
        let file = serde_json::json!({ "auths": { "r": {} }, "credsStore": "desktop" });
        assert_eq!(found(file, "oci://r/x:1").advice, HELPER);
        assert_eq!(found(serde_json::json!({}), "oci://r/x:1").advice, NO_ENTRY);
    }
}
