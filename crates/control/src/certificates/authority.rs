//! A certificate authority and what it issues, as text. Where that is kept is for others to say.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;

use super::names::Owner;

const DAY: Duration = Duration::from_secs(86_400);
const AUTHORITY_DAYS: u32 = 3650;
/// What upstream's charts issue for.
pub const DAYS: u32 = 365;
/// Clocks of other machines may be late.
const SKEW: Duration = Duration::from_secs(3600);

pub struct Authority {
    /// In PEM, and so is the key.
    pub certificate: String,
    pub key: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// One of this cluster's own.
    pub fn make(cluster: &str) -> Result<Authority> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(
            DnType::CommonName,
            format!("Tombolo authority of {cluster}"),
        );
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, AUTHORITY_DAYS);
        let certificate = params.self_signed(&key)?;
        Ok(Authority {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            issuer: Issuer::new(params, key),
        })
    }

    pub fn read(certificate: String, key: String) -> Result<Authority> {
        let pair = KeyPair::from_pem(&key).context("the authority's key is damaged")?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, pair)
            .context("the authority's certificate is damaged")?;
        Ok(Authority {
            certificate,
            key,
            issuer,
        })
    }

    /// `names` are those of a server beside the usual ones.
    pub fn issue(&self, owner: &Owner, names: &[String]) -> Result<Issued> {
        self.issue_with(owner, names, |_| Vec::new())
    }

    /// `proofs` makes names of the certificate's public key, by which it shows more than who issued it.
    pub fn issue_with(
        &self,
        owner: &Owner,
        names: &[String],
        proofs: impl FnOnce(&[u8]) -> Vec<String>,
    ) -> Result<Issued> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(owner.names(names))
            .context("a name for the server is neither a DNS name nor an address")?;
        for proof in proofs(key.public_key_raw()) {
            let name = proof.try_into().context("a proof is no name")?;
            params.subject_alt_names.push(SanType::URI(name));
        }
        params
            .distinguished_name
            .push(DnType::CommonName, owner.common_name());
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![match owner {
            Owner::Server => ExtendedKeyUsagePurpose::ServerAuth,
            _ => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        set_validity(&mut params, DAYS);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn set_validity(params: &mut CertificateParams, days: u32) {
    let now = now();
    params.not_before = now - SKEW;
    params.not_after = now + DAY * days;
}

#[expect(
    clippy::disallowed_methods,
    reason = "certificates are valid by the clock on the wall"
)]
pub fn now() -> OffsetDateTime {
    SystemTime::now().into()
}
