//! What follows from the secrets of two clusters, by HKDF with SHA-256 (RFC 5869).
//!
//! Labels and versions are part of every derivation: another purpose, direction, name or number gives another key.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
    hmac,
};
use tombolo_model::id::ClusterId;

use super::Secret;
use crate::certificates::{public_key, uris};

const SALT: &[u8] = b"tombolo trust v1";
/// Beginning of the name in a certificate that carries a proof.
const PROOF: &str = "tombolo:proof:v1:";
const KEY_LEN: usize = 32;
/// Of one certificate; two secrets on each side make four.
const PROOFS_MAX: usize = 8;

/// One of the two clusters.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    pub name: &'a str,
    pub id: ClusterId,
    pub secret: &'a Secret,
}

/// Proves that a cluster, as a client, knows what both sides know. Of one direction only.
#[derive(Clone, PartialEq, Eq)]
pub struct ProofKey([u8; KEY_LEN]);

impl ProofKey {
    /// Both sides come to the same.
    pub fn derive(client: Side<'_>, server: Side<'_>) -> ProofKey {
        let (low, high) = if client.name <= server.name {
            (client, server)
        } else {
            (server, client)
        };
        let secrets = [*low.secret.bytes(), *high.secret.bytes()].concat();
        let mut context = Context::new("client proof");
        context.side(client.name, client.id);
        context.side(server.name, server.id);
        ProofKey(expand(&secrets, &context))
    }

    pub fn read(bytes: &[u8]) -> Option<ProofKey> {
        bytes.try_into().ok().map(ProofKey)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name that goes into a certificate of this public key.
    pub fn prove(&self, public_key: &[u8]) -> String {
        let tag = hmac::sign(&self.hmac(), public_key);
        format!("{PROOF}{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// Whether the certificate, in DER, carries a proof of its own public key.
    pub fn is_in(&self, certificate: &[u8]) -> bool {
        let (Some(public_key), Some(names)) = (public_key(certificate), uris(certificate)) else {
            return false;
        };
        let proofs = names.iter().filter_map(|name| name.strip_prefix(PROOF));
        let mut tags = proofs
            .take(PROOFS_MAX)
            .filter_map(|proof| URL_SAFE_NO_PAD.decode(proof).ok());
        tags.any(|tag| hmac::verify(&self.hmac(), &public_key, &tag).is_ok())
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofKey(…)")
    }
}

/// What binds a cluster's introduction to its secret.
pub fn seal_key(secret: &Secret) -> hmac::Key {
    let key = expand(secret.bytes(), &Context::new("introduction seal"));
    hmac::Key::new(hmac::HMAC_SHA256, &key)
}

fn expand(secrets: &[u8], context: &Context) -> [u8; KEY_LEN] {
    struct Len;
    impl KeyType for Len {
        fn len(&self) -> usize {
            KEY_LEN
        }
    }
    let key: Prk = Salt::new(HKDF_SHA256, SALT).extract(secrets);
    let mut bytes = [0; KEY_LEN];
    let info = [context.0.as_slice()];
    let filled = key.expand(&info, Len).and_then(|okm| okm.fill(&mut bytes));
    filled.expect("a key is shorter than HKDF's limit");
    bytes
}

/// Parts with their lengths before them, so that no two lists of parts look alike.
pub struct Context(Vec<u8>);

impl Context {
    pub fn new(purpose: &str) -> Context {
        let mut context = Context(Vec::new());
        context.part(purpose.as_bytes());
        context
    }

    pub fn side(&mut self, name: &str, id: ClusterId) {
        self.part(name.as_bytes());
        self.part(&id.0.to_be_bytes());
    }

    pub fn list(&mut self, parts: &[impl AsRef<[u8]>]) {
        self.part(&(parts.len() as u64).to_be_bytes());
        for part in parts {
            self.part(part.as_ref());
        }
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0
    }

    pub fn part(&mut self, bytes: &[u8]) {
        self.0.extend((bytes.len() as u64).to_be_bytes());
        self.0.extend(bytes);
    }
}
