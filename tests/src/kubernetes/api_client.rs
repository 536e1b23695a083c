//! A client of the Kubernetes API with which tests arrange things and look at them: plain HTTPS with
//! a bearer token, so that what is proved with it does not rest on the client that Rolewright uses.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::Response;

/// The manager of the fields that tests write.
const FIELD_MANAGER: &str = "rolewright-tests";

/// Larger than a list of 10,000 Secrets.
const LARGEST_BODY: u64 = 512 * 1024 * 1024;

/// Somebody who talks to an API server. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct ApiClient {
    agent: Agent,
    server: String,
    token: String,
}

impl ApiClient {
    /// For a server (`https://127.0.0.1:6443`) that shows a certificate of this authority.
    pub fn new(server: &str, authority: &str, token: &str) -> ApiClient {
        let authority = Certificate::from_pem(authority.as_bytes()).expect("rcgen makes certificates");
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(vec![authority])))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .max_idle_connections_per_host(16)
            .build()
            .into();
        ApiClient { agent, server: server.to_owned(), token: token.to_owned() }
    }

    /// The same connections, with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> ApiClient {
        ApiClient { token: token.to_owned(), ..self.clone() }
    }

    /// Any request; the error is that nobody answered, or not whole.
    pub fn try_send(&self, method: &str, path: &str, content: &str, body: &str) -> Result<Response, ureq::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header("authorization", format!("Bearer {}", self.token));
        if !content.is_empty() {
            request = request.header("content-type", content);
        }
        let mut answer = match body {
            "" => self.agent.run(request.body(())?)?,
            _ => self.agent.run(request.body(body.to_owned())?)?,
        };
        let head = answer.headers().iter().map(|(name, value)| format!("{name}: {value:?}\n")).collect();
        let body = answer.body_mut().with_config().limit(LARGEST_BODY).read_to_string()?;
        Ok(Response { status: answer.status().as_u16(), head, body })
    }

    fn send(&self, method: &str, path: &str, content: &str, body: &str) -> Response {
        let answer = self.try_send(method, path, content, body);
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// GET: one object, a list, or with `?watch=true&timeoutSeconds=…` the events until then, one a line.
    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, "", "")
    }

    /// POST: creates.
    pub fn create(&self, path: &str, object: &Value) -> Response {
        self.send("POST", path, "application/json", &object.to_string())
    }

    /// PUT: replaces, and creates where the kind allows it.
    pub fn replace(&self, path: &str, object: &Value) -> Response {
        self.send("PUT", path, "application/json", &object.to_string())
    }

    /// PATCH with a JSON merge patch.
    pub fn merge(&self, path: &str, patch: &Value) -> Response {
        self.send("PATCH", path, "application/merge-patch+json", &patch.to_string())
    }

    /// PATCH by server-side apply, which creates what is not there. Who else owns a field loses it.
    pub fn apply(&self, path: &str, object: &Value) -> Response {
        let path = format!("{path}?fieldManager={FIELD_MANAGER}&force=true");
        self.send("PATCH", &path, "application/apply-patch+yaml", &object.to_string())
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Response {
        self.send("DELETE", path, "", "")
    }
}
