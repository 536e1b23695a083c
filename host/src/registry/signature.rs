//! Signatures as `cosign sign --key` leaves them in a registry: under the tag `sha256-….sig` lies a
//! small document that names a manifest's digest, signed with ECDSA on P-256
//! (<https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>). They are checked against
//! keys that the chain names; no certificate, no transparency log and nobody else is asked.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use super::error::SetupError;
use super::manifest::Descriptor;
use super::reference::Digest;

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// What stands before the point in a public key for P-256 (RFC 5480): the two object identifiers.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key of `publicKeys`: one signature by one of them suffices.
#[derive(Debug, Clone)]
pub struct PublicKey {
    path: PathBuf,
    point: Vec<u8>,
}

/// Something signed, and the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Signature {
    payload: String,
    /// ASN.1, in base64.
    signature: String,
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    #[serde(rename = "type")]
    kind: String,
    image: Image,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

impl PublicKey {
    /// Reads a PEM file with a public key.
    ///
    /// # Errors
    /// If it cannot be read, or is not what cosign makes.
    pub fn read(path: &Path) -> Result<PublicKey, SetupError> {
        let error = |why: String| SetupError::PublicKey { path: path.to_owned(), why };
        let text = std::fs::read(path).map_err(|why| error(format!("cannot be read: {why}")))?;
        let key = SubjectPublicKeyInfoDer::from_pem_slice(&text)
            .map_err(|_| error("is no PEM file with a block BEGIN PUBLIC KEY".to_owned()))?;
        match key.strip_prefix(&P256) {
            Some(point) if point.len() == 65 => Ok(PublicKey { path: path.to_owned(), point: point.to_owned() }),
            _ => Err(error("is no ECDSA key on the curve P-256".to_owned())),
        }
    }

    fn verifies(&self, signature: &Signature) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point);
        let bytes = BASE64.decode(signature.signature.trim());
        bytes.is_ok_and(|bytes| key.verify(signature.payload.as_bytes(), &bytes).is_ok())
    }
}

/// The tag that the signatures for a manifest lie under.
pub(super) fn tag(digest: &Digest) -> String {
    format!("sha256-{}.sig", digest.hex())
}

/// The signature that a layer carries, without what it signs; `None` for layers of another kind.
pub(super) fn carried(layer: &Descriptor) -> Option<&str> {
    layer.annotations.get(SIGNATURE).filter(|_| layer.media_type == PAYLOAD).map(String::as_str)
}

impl Signature {
    pub(super) fn new(payload: String, signature: &str) -> Signature {
        Signature { payload, signature: signature.to_owned() }
    }
}

/// The key that one of the signatures was made with, over this manifest.
pub(super) fn verify<'k>(
    keys: &'k [PublicKey],
    signatures: &[Signature],
    digest: &Digest,
) -> Result<&'k Path, &'static str> {
    let mut why = "there are no signatures of cosign for it";
    for signature in signatures {
        let Some(key) = keys.iter().find(|key| key.verifies(signature)) else {
            if why.starts_with("there are no") {
                why = "its signatures were made with other keys";
            }
            continue;
        };
        // Only what is signed is believed.
        let payload = serde_json::from_str::<Payload>(&signature.payload);
        match payload {
            Ok(Payload { critical }) if critical.kind != "cosign container image signature" => {
                why = "what was signed with the key is no signature of an artifact";
            }
            Ok(Payload { critical }) if critical.image.digest == digest.to_string() => return Ok(&key.path),
            _ => why = "what was signed with the key is another artifact",
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

    use super::*;

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Signer {
            let random = SystemRandom::new();
            let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
            Signer(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &random).unwrap())
        }

        fn key(&self) -> PublicKey {
            PublicKey { path: "cosign.pub".into(), point: self.0.public_key().as_ref().to_owned() }
        }

        fn sign(&self, kind: &str, digest: &Digest) -> Signature {
            let payload = serde_json::json!({ "critical": { "type": kind, "identity": { "docker-reference": "" },
                "image": { "docker-manifest-digest": digest.to_string() } }, "optional": null })
            .to_string();
            let signature = self.0.sign(&SystemRandom::new(), payload.as_bytes()).unwrap();
            Signature::new(payload, &BASE64.encode(signature))
        }
    }

    const KIND: &str = "cosign container image signature";

    #[test]
    fn one_signature_by_one_key_suffices() {
        let (ours, theirs, digest) = (Signer::new(), Signer::new(), Digest::of(b"manifest"));
        let signatures = [theirs.sign(KIND, &digest), ours.sign(KIND, &digest)];
        assert!(verify(&[ours.key()], &signatures, &digest).is_ok());
        assert!(verify(&[Signer::new().key(), theirs.key()], &signatures, &digest).is_ok());
    }

    #[test]
    fn a_signature_of_something_else_or_by_somebody_else_counts_for_nothing() {
        let (ours, digest) = (Signer::new(), Digest::of(b"manifest"));
        let keys = [ours.key()];
        let mut forged = ours.sign(KIND, &Digest::of(b"other"));
        let moved = forged.clone();
        forged.payload = ours.sign(KIND, &digest).payload;
        for signatures in [
            vec![],
            vec![Signer::new().sign(KIND, &digest)],
            vec![moved],
            vec![forged],
            vec![ours.sign("something else", &digest)],
            vec![Signature::new(String::new(), "no base64")],
        ] {
            assert!(verify(&keys, &signatures, &digest).is_err(), "{signatures:?}");
        }
        assert!(verify(&[], &[ours.sign(KIND, &digest)], &digest).is_err());
    }
}
