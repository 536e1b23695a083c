//! TLS as libpq's `sslmode` means it, built on rustls with the ring provider: which certificates
//! are trusted, and how much of the server's certificate is checked. Whether TLS is tried first,
//! second or not at all is up to `connect`.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::target::SslMode;

/// Why there is no TLS configuration for a target.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of `DB_SSLROOTCERT` cannot be opened or read.
    #[error("the root certificate file {} cannot be read: {cause}; check the path in DB_SSLROOTCERT and its permissions", path.display())]
    Unreadable {
        /// The configured path.
        path: PathBuf,
        /// What the operating system or the PEM parser says.
        cause: String,
    },
    /// The file holds no certificate that could be trusted.
    #[error("the root certificate file {} holds no certificate; it must be PEM with at least one BEGIN CERTIFICATE block", path.display())]
    NoCertificate {
        /// The configured path.
        path: PathBuf,
    },
    /// `sslmode` asks for a check against the system's authorities, and there are none.
    #[error(
        "sslmode={mode} checks the server's certificate, but this system has no trusted authorities{cause}; give \
         their certificates in DB_SSLROOTCERT, or install the ca-certificates package"
    )]
    NoSystemRoots {
        /// The configured mode.
        mode: SslMode,
        /// What went wrong while reading them, led in by a colon, or nothing.
        cause: String,
    },
    /// The weak modes would accept any certificate that a public authority has ever signed.
    #[error("sslmode={mode} is too weak for DB_SSLROOTCERT=system; use sslmode=verify-full")]
    WeakWithSystemRoots {
        /// The configured mode.
        mode: SslMode,
    },
    /// rustls does not accept its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Provider(#[from] rustls::Error),
}

/// How much of the server's certificate is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scrutiny {
    /// Encryption against listeners only.
    Nothing,
    /// A trusted authority has signed it.
    Chain,
    /// And it is for this host.
    ChainAndName,
}

/// As the table in libpq's manual has it: `require` with a root certificate is `verify-ca`.
/// <https://www.postgresql.org/docs/current/libpq-ssl.html>
fn scrutiny(mode: SslMode, roots_given: bool) -> Scrutiny {
    match mode {
        SslMode::Disable | SslMode::Allow | SslMode::Prefer => Scrutiny::Nothing,
        SslMode::Require if !roots_given => Scrutiny::Nothing,
        SslMode::Require | SslMode::VerifyCa => Scrutiny::Chain,
        SslMode::VerifyFull => Scrutiny::ChainAndName,
    }
}

/// The client's side of TLS for one target. Reads files, so it is made anew for each connection: a
/// renewed authority takes effect without a restart.
///
/// `allow` and `prefer` look at no certificate even if roots are given: they go on without any TLS,
/// and so cannot protect against an impostor anyway. As with libpq, `sslrootcert=system` means the
/// system's authorities and needs `verify-full`.
///
/// # Errors
///
/// If certificates to trust are needed and there are none to be read.
pub fn client_config(mode: SslMode, sslrootcert: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let scrutiny = scrutiny(mode, sslrootcert.is_some());
    let (roots, pinned) = match (scrutiny, sslrootcert) {
        (Scrutiny::Nothing, _) => (RootCertStore::empty(), Vec::new()),
        (Scrutiny::Chain, Some(path)) if is_system(path) => return Err(TlsError::WeakWithSystemRoots { mode }),
        (_, Some(path)) if !is_system(path) => roots_of_file(path)?,
        _ => (roots_of_system(mode)?, Vec::new()),
    };
    let verifier = Verifier { scrutiny, roots, pinned, provider: Arc::clone(&provider) };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn is_system(path: &Path) -> bool {
    path == Path::new("system")
}

/// The trust anchors of a PEM file, and the same certificates whole.
fn roots_of_file(path: &Path) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let unreadable = |cause: String| TlsError::Unreadable { path: path.to_owned(), cause };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok((roots, certificates))
}

/// The operating system's authorities. One that rustls cannot parse is passed over: such bundles
/// carry historical ones.
fn roots_of_system(mode: SslMode) -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let cause = found.errors.first().map_or(String::new(), |error| format!(": {error}"));
        return Err(TlsError::NoSystemRoots { mode, cause });
    }
    Ok(roots)
}

/// Judges the server's certificate; rustls's own judge knows only "everything".
struct Verifier {
    scrutiny: Scrutiny,
    roots: RootCertStore,
    /// The certificates of the configured file, byte for byte.
    pinned: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("scrutiny", &self.scrutiny).field("roots", &self.roots.len()).finish()
    }
}

impl Verifier {
    fn check_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(parsed, &self.roots, intermediates, now, algorithms) {
            // `openssl req -x509`, and so PostgreSQL's own manual, makes a server certificate that
            // is also an authority; webpki refuses every such one (after it checked the dates),
            // libpq accepts it. If it is the very certificate that the operator gave us to trust,
            // there is nothing that a chain could add.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.pinned.iter().any(|pinned| pinned.as_ref() == end_entity.as_ref()) =>
            {
                Ok(())
            }
            verdict => verdict,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.scrutiny != Scrutiny::Nothing {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            self.check_chain(end_entity, &parsed, intermediates, now)?;
            if self.scrutiny == Scrutiny::ChainAndName {
                verify_server_name(&parsed, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.scrutiny == Scrutiny::Nothing {
            // The key of a certificate that nobody vouches for proves nothing; looking at it would
            // only shut out servers whose old certificates webpki cannot parse.
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.scrutiny == Scrutiny::Nothing {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The words of rustls in an error of tokio-postgres, if the handshake is what failed.
pub fn handshake_error(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>()
}

/// What went wrong in a handshake and what to do about it, in words.
pub fn explain_handshake(error: &rustls::Error, host: &str) -> (String, String) {
    let rustls::Error::InvalidCertificate(reason) = error else {
        return (
            format!("the TLS handshake failed: {error}"),
            "see the server's log; it must offer TLS 1.2 or later (ssl_min_protocol_version, ssl_ciphers)".to_owned(),
        );
    };
    match reason {
        CertificateError::UnknownIssuer => (
            "no trusted authority has signed the server's certificate".to_owned(),
            "put the certificate of the authority that signed it into the file of DB_SSLROOTCERT (for a self-signed \
             one, the server's own)"
                .to_owned(),
        ),
        CertificateError::NotValidForName => (
            format!("the server's certificate is not for the host {host}"),
            "connect by a name in its subjectAltName, have it issued for this name, or use verify-ca".to_owned(),
        ),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = if presented.is_empty() {
                "names no host in its subjectAltName (a common name does not count)".to_owned()
            } else {
                // rustls writes `DnsName("db.example")`.
                let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
                format!("is for {}", presented.iter().map(bare).collect::<Vec<_>>().join(", "))
            };
            (
                format!("the server's certificate is not for the host {host}: it {names}"),
                "set DB_HOST to a name that the certificate has, have it issued for this name, or use \
                 DB_SSLMODE=verify-ca"
                    .to_owned(),
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "the server's certificate has expired".to_owned(),
            "renew it on the server (and check this machine's clock)".to_owned(),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "the server's certificate is not valid yet".to_owned(),
            "check the clocks of this machine and of the one that issued it".to_owned(),
        ),
        CertificateError::Other(reason) => (
            format!("the server's certificate is refused: {}", reason.0),
            "if it is self-signed, put the certificate itself into the file of DB_SSLROOTCERT; otherwise have it \
             issued anew, as a server's and not an authority's (basicConstraints CA:FALSE, X.509 version 3)"
                .to_owned(),
        ),
        other => (
            format!("the server's certificate is refused: {other}"),
            "have it issued anew as a server's certificate (X.509 version 3, extendedKeyUsage serverAuth)".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn require_becomes_verify_ca_when_a_root_certificate_is_given() {
        assert_eq!(scrutiny(SslMode::Require, false), Scrutiny::Nothing);
        assert_eq!(scrutiny(SslMode::Require, true), Scrutiny::Chain);
        assert_eq!(scrutiny(SslMode::Prefer, true), Scrutiny::Nothing);
        assert_eq!(scrutiny(SslMode::VerifyCa, false), Scrutiny::Chain);
        assert_eq!(scrutiny(SslMode::VerifyFull, false), Scrutiny::ChainAndName);
    }

    #[test]
    fn a_missing_root_file_is_named() {
        let error = client_config(SslMode::VerifyFull, Some(Path::new("/nowhere/root.crt"))).unwrap_err().to_string();
        assert!(error.contains("/nowhere/root.crt") && error.contains("DB_SSLROOTCERT"), "{error}");
    }

    #[test]
    fn a_root_file_without_a_certificate_is_refused() {
        let file = std::env::temp_dir().join(format!("rolewright-tls-{}.pem", std::process::id()));
        std::fs::write(&file, "no certificate here\n").unwrap();
        let outcome = client_config(SslMode::VerifyCa, Some(&file));
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(outcome, Err(TlsError::NoCertificate { .. })), "{outcome:?}");
    }

    #[test]
    fn a_missing_root_file_does_not_matter_where_nothing_is_checked() {
        assert!(client_config(SslMode::Prefer, Some(Path::new("/nowhere/root.crt"))).is_ok());
    }

    #[test]
    fn public_authorities_are_refused_in_a_mode_that_checks_no_name() {
        let outcome = client_config(SslMode::Require, Some(Path::new("system")));
        assert!(matches!(outcome, Err(TlsError::WeakWithSystemRoots { .. })), "{outcome:?}");
    }

    #[test]
    fn a_certificate_for_another_host_is_explained_with_its_names() {
        let reason = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("db.example").unwrap(),
            presented: vec!["DnsName(\"other.example\")".to_owned()],
        };
        let (explanation, help) = explain_handshake(&rustls::Error::InvalidCertificate(reason), "db.example");
        assert!(explanation.ends_with("not for the host db.example: it is for other.example"), "{explanation}");
        assert!(help.contains("verify-ca"), "{help}");
    }
}
