//! Certificates for servers that offer TLS: an authority of our own, and a server certificate for
//! `localhost` signed by it.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// PEM texts.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority, for `DB_SSLROOTCERT`.
    pub authority: String,
    /// The server's certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Certificates {
    /// A new authority and a server certificate for these names.
    pub fn for_names(names: &[&str]) -> Certificates {
        let authority_key = KeyPair::generate().expect("a key can be made");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "Rolewright tests");
        let authority_certificate = authority.self_signed(&authority_key).expect("the parameters are valid");
        let key = KeyPair::generate().expect("a key can be made");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let server = CertificateParams::new(names).expect("the names are valid");
        let issuer = Issuer::new(authority, authority_key);
        let certificate = server.signed_by(&key, &issuer).expect("the parameters are valid");
        Certificates {
            authority: authority_certificate.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}
