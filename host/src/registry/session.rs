//! Talking to one repository: who we are is shown when the registry asks for it, and in the way that
//! it asks for: as a name and a password, or as a token that its token server gives
//! (<https://distribution.github.io/distribution/spec/auth/token/>).

use base64::Engine as _;
use http_auth::ParamValue;
use hyper::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode, Uri};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::credentials::{Credentials, Found};
use super::error::Problem;
use super::http::{Answer, Ask, Http, host, no_registry, same_origin};
use super::reference::Reference;
use crate::secret::Password;

/// Bytes of a token server's answer.
const MAX_TOKEN: u64 = 1 << 20;

/// What will be done, as token servers call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Pull,
    Push,
}

pub(super) struct Session<'a> {
    http: &'a Http,
    reference: &'a Reference,
    found: Found,
    access: Access,
    authorization: Option<HeaderValue>,
}

/// What a `WWW-Authenticate` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'a> Session<'a> {
    pub(super) fn new(http: &'a Http, reference: &'a Reference, found: Found, access: Access) -> Session<'a> {
        let authorization = match &found.credentials {
            Some(Credentials::Bearer(token)) => bearer(token),
            _ => None,
        };
        Session { http, reference, found, access, authorization }
    }

    pub(super) fn uri(&self, path: &str) -> Result<Uri, Problem> {
        self.http.uri(self.reference, path)
    }

    /// Sends a request, and once more with credentials if the registry wants to see some.
    pub(super) async fn send(&mut self, ask: &Ask) -> Result<Answer, Problem> {
        let ours = same_origin(&ask.uri, &self.uri("")?);
        let answer = self.http.send(ask, self.authorization.as_ref().filter(|_| ours)).await?;
        // Whoever we were sent on to gets nothing.
        if answer.status() != StatusCode::UNAUTHORIZED || !ours || !same_origin(&answer.uri, &ask.uri) {
            return self.allowed(answer);
        }
        self.authorization = Some(self.answer_to(&answer).await?);
        let answer = self.http.send(ask, self.authorization.as_ref()).await?;
        self.allowed(answer)
    }

    fn allowed(&self, answer: Answer) -> Result<Answer, Problem> {
        match answer.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.unauthorized(answer.host())),
            _ => Ok(answer),
        }
    }

    fn unauthorized(&self, host: String) -> Problem {
        Problem::Unauthorized { host, advice: self.found.advice.to_owned() }
    }

    async fn answer_to(&self, refusal: &Answer) -> Result<HeaderValue, Problem> {
        let host = refusal.host();
        let headers = refusal.headers().get_all(WWW_AUTHENTICATE);
        let challenges = headers.iter().filter_map(|value| challenge(value.to_str().ok()?)).collect::<Vec<_>>();
        // A token is worth less to a thief than the password.
        let tokens = challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        match tokens.or(challenges.first()) {
            None => Err(no_registry(&host, "it wants to know who we are, and does not say how to tell it")),
            Some(Challenge::Basic) => match &self.found.credentials {
                Some(Credentials::Basic { user, password }) => {
                    basic(user, password).ok_or_else(|| self.unauthorized(host))
                }
                _ => Err(self.unauthorized(host)),
            },
            Some(Challenge::Bearer { realm, service, scope }) => {
                let realm: Uri = realm.parse().map_err(|_| no_registry(&host, "its token server has no address"))?;
                self.token(&realm, service.as_deref(), scope.as_deref()).await
            }
        }
    }

    /// A token for what is to be done, from the token server that the registry names.
    async fn token(&self, realm: &Uri, service: Option<&str>, scope: Option<&str>) -> Result<HeaderValue, Problem> {
        let (ask, authorization) = self.ask_for_token(realm, service, scope)?;
        let answer = self.http.send(&ask, authorization.as_ref()).await?;
        if matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST) {
            return Err(self.unauthorized(answer.host()));
        }
        let server = answer.host();
        let (bytes, _) = answer.bytes(MAX_TOKEN).await?;
        let bytes = Zeroizing::new(bytes);
        let no_token = || no_registry(&server, "its token server gives no token");
        let Token { token, access_token } = serde_json::from_slice(&bytes).map_err(|_| no_token())?;
        let token = token.or(access_token).filter(|token| !token.is_empty()).ok_or_else(no_token)?;
        bearer(&Password::new(token)).ok_or_else(no_token)
    }

    /// The question for a token, and what to show with it.
    fn ask_for_token(
        &self,
        realm: &Uri,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<(Ask, Option<HeaderValue>), Problem> {
        let actions = match self.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        let ours = format!("repository:{}:{actions}", self.reference.repository());
        let mut form = form_urlencoded::Serializer::new(String::new());
        // What the registry names is what it misses, such as the right to write.
        form.append_pair("scope", scope.unwrap_or(&ours));
        if let Some(service) = service {
            form.append_pair("service", service);
        }
        if let Some(Credentials::Identity(token)) = &self.found.credentials {
            form.append_pair("grant_type", "refresh_token").append_pair("client_id", "rolewright");
            form.append_pair("refresh_token", token.reveal());
            let ask = Ask::new(Method::POST, realm.clone(), "token")
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.finish());
            return Ok((ask, None));
        }
        let authorization = match &self.found.credentials {
            Some(Credentials::Basic { user, password }) => basic(user, password),
            _ => None,
        };
        let joint = if realm.query().is_some() { '&' } else { '?' };
        let uri = format!("{realm}{joint}{}", form.finish());
        let uri = uri.parse().map_err(|_| no_registry(&host(realm), "its token server has no address"))?;
        Ok((Ask::new(Method::GET, uri, "token"), authorization))
    }
}

/// What a header asks for, if it is something that we know.
fn challenge(header: &str) -> Option<Challenge> {
    let mut known = http_auth::parser::ChallengeParser::new(header).filter_map(Result::ok).filter_map(|challenge| {
        let parameter = |name: &str| {
            let (_, value) = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            Some(ParamValue::to_unescaped(value))
        };
        if challenge.scheme.eq_ignore_ascii_case("Bearer") {
            let (service, scope) = (parameter("service"), parameter("scope"));
            return Some(Challenge::Bearer { realm: parameter("realm")?, service, scope });
        }
        challenge.scheme.eq_ignore_ascii_case("Basic").then_some(Challenge::Basic)
    });
    known.next()
}

fn basic(user: &str, password: &Password) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("{user}:{}", password.reveal()));
    let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(text.as_bytes()));
    sensitive(&format!("Basic {}", *encoded))
}

fn bearer(token: &Password) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {}", token.reveal()))
}

/// A value that hyper does not print; `None` where it cannot stand in a header.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_asks_for_a_token_or_for_a_password() {
        let header =
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull""#;
        assert_eq!(
            challenge(header),
            Some(Challenge::Bearer {
                realm: "https://auth.example/token".to_owned(),
                service: Some("registry.example".to_owned()),
                scope: Some("repository:a/b:pull".to_owned()),
            })
        );
        assert_eq!(challenge(r#"Basic realm="Registry Realm""#), Some(Challenge::Basic));
        for nonsense in ["", "Bearer", "Bearer service=x", "Negotiate realm=\"x\"", "\u{7f}"] {
            assert_eq!(challenge(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn what_we_show_does_not_print_itself() {
        let value = basic("robot", &Password::new("marble".to_owned())).unwrap();
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert!(bearer(&Password::new("a\nb".to_owned())).is_none());
    }
}
