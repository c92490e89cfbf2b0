//! Whom authorities of others may vouch for: each for one user, and for nobody else.
//!
//! Our own authority is asked first and may vouch for anyone. What else a certificate must prove is its owner's to decide.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::common_name;

/// By the user that is vouched for.
pub type Vouchers = BTreeMap<String, Voucher>;

#[derive(Clone, Debug)]
pub struct Voucher {
    /// Certificates of the user's authorities, in DER.
    pub authorities: Vec<Vec<u8>>,
    pub proof: Arc<dyn Proof>,
}

/// What a certificate must show beside the signature of its authority.
pub trait Proof: Debug + Send + Sync {
    /// Whether the certificate, in DER, shows it.
    fn holds(&self, certificate: &[u8]) -> bool;
}

#[derive(Debug)]
pub(super) struct Verifier {
    pub own: Arc<dyn ClientCertVerifier>,
    pub vouchers: Arc<Vouchers>,
    pub provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Verifier {
    /// Those of our own authority: who has a certificate of another one does not look for a hint.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.own.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let refused = match self.own.verify_client_cert(certificate, intermediates, now) {
            Ok(verified) => return Ok(verified),
            Err(refused) => refused,
        };
        // The name that the server will know the user by, read by the same function.
        let user = common_name(certificate);
        let Some(voucher) = user.and_then(|user| self.vouchers.get(&user)) else {
            return Err(refused);
        };
        let verified = voucher.verifier(&self.provider)?.verify_client_cert(
            certificate,
            intermediates,
            now,
        )?;
        if voucher.proof.holds(certificate) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.own.supported_verify_schemes()
    }
}

impl Voucher {
    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let mut roots = RootCertStore::empty();
        for authority in &self.authorities {
            roots.add(authority.as_slice().into())?;
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| Error::General(error.to_string()))
    }
}
