//! Requests to a registry: TLS, redirects, and bodies that are never larger than what is asked for.
//! Credentials are put on a request by `session`, and taken off here where it leads elsewhere.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::error::{Problem, SetupError};
use super::reference::{Digest, Reference, hostname};
use crate::config::PlainHttp;
use crate::printable;

/// A registry that takes longer to open a connection is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Registries send from the name to the blob to a store of objects; more is going round in circles.
const REDIRECTS: usize = 5;
/// Bytes of an answer that only says what went wrong.
const MAX_COMPLAINT: u64 = 64 << 10;

pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    plain: PlainHttp,
}

/// A request, without credentials.
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What is being tried, for an error: "the request for the manifest".
    pub(super) what: &'static str,
}

impl Ask {
    pub(super) fn new(method: Method, uri: Uri, what: &'static str) -> Ask {
        Ask { method, uri, headers: HeaderMap::new(), body: Bytes::new(), what }
    }

    pub(super) fn header(mut self, name: hyper::header::HeaderName, value: &'static str) -> Ask {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Bytes>) -> Ask {
        self.body = body.into();
        self
    }
}

/// What came back, and from where: after redirects, that may be somebody else.
pub(super) struct Answer {
    response: Response<Incoming>,
    pub(super) uri: Uri,
    what: &'static str,
}

#[derive(Deserialize)]
struct Complaints {
    #[serde(default)]
    errors: Vec<Complaint>,
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    code: String,
}

impl Http {
    /// A client that trusts the system's authorities, and those of the file.
    pub(super) fn new(authorities: Option<&Path>, plain: PlainHttp) -> Result<Http, SetupError> {
        let mut roots = RootCertStore::empty();
        // One that rustls cannot parse is passed over: such bundles carry historical ones.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = authorities {
            add(&mut roots, path).map_err(|why| SetupError::Authorities { path: path.to_owned(), why })?;
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        Ok(Http { client: Client::builder(TokioExecutor::new()).build(connector), plain })
    }

    /// The address of something in a repository.
    pub(super) fn uri(&self, reference: &Reference, path: &str) -> Result<Uri, Problem> {
        // The name that people use for Docker Hub is that of a web page.
        let host = if reference.host() == "docker.io" { "registry-1.docker.io" } else { reference.host() };
        let scheme = if is_plain(&self.plain, host) { "http" } else { "https" };
        let text = format!("{scheme}://{host}/v2/{}/{path}", reference.repository());
        text.parse().map_err(|_| no_registry(host, "its name makes no address"))
    }

    /// Sends a request, and follows where GET and HEAD are sent on to. Credentials go no further
    /// than the host that they are for.
    pub(super) async fn send(&self, ask: &Ask, authorization: Option<&HeaderValue>) -> Result<Answer, Problem> {
        let mut uri = ask.uri.clone();
        for _ in 0..=REDIRECTS {
            self.permitted(&uri)?;
            let mut request = Request::new(Full::new(ask.body.clone()));
            *request.method_mut() = ask.method.clone();
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = ask.headers.clone();
            let agent = HeaderValue::from_static(concat!("rolewright/", env!("CARGO_PKG_VERSION")));
            request.headers_mut().insert(USER_AGENT, agent);
            if let Some(authorization) = authorization.filter(|_| same_origin(&uri, &ask.uri)) {
                request.headers_mut().insert(AUTHORIZATION, authorization.clone());
            }
            let response = self.client.request(request).await.map_err(|error| {
                let (host, why) = (host(&uri), innermost(&error));
                if error.is_connect() { Problem::Unreachable { host, why } } else { Problem::Broken { host, why } }
            })?;
            let follow = response.status().is_redirection() && matches!(ask.method, Method::GET | Method::HEAD);
            let Some(location) = response.headers().get(LOCATION).filter(|_| follow) else {
                return Ok(Answer { response, uri, what: ask.what });
            };
            uri = resolve(&uri, location)?;
        }
        Err(no_registry(&host(&ask.uri), "it sends us on and on"))
    }

    /// Whether an address may be spoken to as it wants to be.
    fn permitted(&self, uri: &Uri) -> Result<(), Problem> {
        let authority = host(uri);
        match uri.scheme_str() {
            Some("https") => Ok(()),
            Some("http") if is_plain(&self.plain, &authority) => Ok(()),
            Some("http") => Err(Problem::PlainHttp { host: authority }),
            _ => Err(no_registry(&authority, "it sends us to an address that is neither http nor https")),
        }
    }
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(super) fn host(&self) -> String {
        host(&self.uri)
    }

    /// The body and its digest, if the status is one of success.
    pub(super) async fn bytes(self, limit: u64) -> Result<(Vec<u8>, Digest), Problem> {
        if !self.status().is_success() {
            return Err(self.problem().await);
        }
        let (host, what) = (self.host(), self.what);
        if let Some(size) = self.response.body().size_hint().exact().filter(|size| *size > limit) {
            return Err(Problem::TooLarge { what, size: Some(size), limit });
        }
        let mut body = self.response.into_body();
        let (mut bytes, mut hash) = (Vec::new(), Sha256::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Problem::Broken { host: host.clone(), why: innermost(&error) })?;
            let Ok(data) = frame.into_data() else { continue };
            if (bytes.len() + data.len()) as u64 > limit {
                return Err(Problem::TooLarge { what, size: None, limit });
            }
            hash.update(&data);
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, Digest::finish(&hash.finalize())))
    }

    /// Nothing, if the status is one of success.
    pub(super) async fn succeeds(self) -> Result<HeaderMap, Problem> {
        if self.status().is_success() { Ok(self.response.headers().clone()) } else { Err(self.problem().await) }
    }

    /// What an answer without success means. Of its text only the codes count, which the distribution
    /// specification lists: the rest may repeat what we sent.
    async fn problem(self) -> Problem {
        let (host, status, what) = (self.host(), self.status(), self.what);
        if status == StatusCode::NOT_FOUND {
            return Problem::NotFound { host, what };
        }
        let body = http_body_util::Limited::new(self.response.into_body(), MAX_COMPLAINT as usize).collect().await;
        let text = body.map(|body| body.to_bytes()).unwrap_or_default();
        let complaints = serde_json::from_slice(&text).unwrap_or(Complaints { errors: Vec::new() });
        let is_code = |code: &String| {
            (1..=40).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        };
        let errors = complaints.errors.into_iter().map(|complaint| complaint.code).filter(is_code).take(3).collect();
        Problem::Status { host, code: status.as_u16(), errors, what }
    }
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if certificates.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    certificates
        .into_iter()
        .try_for_each(|certificate| roots.add(certificate))
        .map_err(|error| format!("holds a certificate that cannot be used: {error}"))
}

/// Host and port of an address, without what may stand before an `@`.
pub(super) fn host(uri: &Uri) -> String {
    let host = printable::line(uri.host().unwrap_or_default()).into_owned();
    uri.port_u16().map_or(host.clone(), |port| format!("{host}:{port}"))
}

pub(super) fn same_origin(one: &Uri, other: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().or(if uri.scheme_str() == Some("http") { Some(80) } else { Some(443) });
    one.scheme() == other.scheme() && one.host() == other.host() && port(one) == port(other)
}

/// Where a `Location` leads, seen from the address that gave it.
pub(super) fn resolve(from: &Uri, location: &HeaderValue) -> Result<Uri, Problem> {
    let nowhere = || no_registry(&host(from), "it sends us to what is no address");
    let text = location.to_str().map_err(|_| nowhere())?;
    if !text.starts_with('/') || text.starts_with("//") {
        return text
            .parse()
            .ok()
            .filter(|uri: &Uri| uri.scheme().is_some() && uri.host().is_some())
            .ok_or_else(nowhere);
    }
    let authority = from.authority().ok_or_else(nowhere)?.clone();
    let scheme = from.scheme_str().unwrap_or("https");
    Uri::builder().scheme(scheme).authority(authority).path_and_query(text).build().map_err(|_| nowhere())
}

pub(super) fn no_registry(host: &str, why: &str) -> Problem {
    Problem::NoRegistry { host: host.to_owned(), why: why.to_owned() }
}

/// The innermost cause, which says it best.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    printable::line(&cause.to_string()).into_owned()
}

/// Whether a host, with its port if it has one, is spoken to without TLS.
fn is_plain(plain: &PlainHttp, host: &str) -> bool {
    plain.contains(host) || plain.contains(hostname(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn a_location_is_taken_as_a_browser_takes_it() {
        let from = uri("https://registry.example:5000/v2/a/blobs/x");
        let to =
            |location: &'static str| resolve(&from, &HeaderValue::from_static(location)).map(|uri| uri.to_string());
        assert_eq!(to("/v2/b?c=d").unwrap(), "https://registry.example:5000/v2/b?c=d");
        assert_eq!(to("https://store.example/x?signed=1").unwrap(), "https://store.example/x?signed=1");
        assert!(to("elsewhere").is_err());
        assert!(to("//store.example/x").is_err());
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let here = uri("https://r.example/x");
        assert!(same_origin(&here, &uri("https://r.example:443/y")));
        for other in ["http://r.example/x", "https://r.example:444/x", "https://s.example/x"] {
            assert!(!same_origin(&here, &uri(other)), "{other}");
        }
    }

    #[test]
    fn what_stands_before_an_at_sign_is_not_shown() {
        assert_eq!(host(&uri("https://user:word@r.example:5000/x")), "r.example:5000");
    }
}
