//! Whether a certificate that is there already will do.

use std::collections::BTreeSet;

use x509_parser::{
    pem::parse_x509_pem,
    prelude::{FromDer as _, X509Certificate},
};

use super::{
    RENEW_DAYS,
    authority::now,
    names::{Owner, in_certificate, public_key, uris},
};

/// A certificate in PEM, and what it should be.
pub struct Held<'a> {
    pub authority: &'a str,
    pub certificate: &'a str,
    pub owner: &'a Owner,
    pub names: &'a [String],
    pub proofs: &'a dyn Fn(&[u8]) -> Vec<String>,
}

/// Issued by the authority, for the owner, with the names and proofs, and not about to end.
pub fn is_good(held: &Held<'_>) -> bool {
    check(held).unwrap_or(false)
}

fn check(held: &Held<'_>) -> Option<bool> {
    let (_, authority) = parse_x509_pem(held.authority.as_bytes()).ok()?;
    let (_, authority) = X509Certificate::from_der(&authority.contents).ok()?;
    let (_, pem) = parse_x509_pem(held.certificate.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&pem.contents).ok()?;
    let signed = certificate.verify_signature(Some(authority.public_key()));
    let name = certificate.subject().iter_common_name().next()?;
    let seconds = certificate.validity().not_after.timestamp() - now().unix_timestamp();
    let has = in_certificate(&pem.contents).ok()?;
    let wanted = held.owner.names(held.names);
    let proofs: BTreeSet<_> = uris(&pem.contents)?.into_iter().collect();
    let wanted_proofs = (held.proofs)(&public_key(&pem.contents)?);
    Some(
        signed.is_ok()
            && name.as_str().ok()? == held.owner.common_name()
            && seconds.div_euclid(86_400) >= RENEW_DAYS
            && wanted.iter().all(|name| has.contains(name))
            && proofs == wanted_proofs.into_iter().collect(),
    )
}
