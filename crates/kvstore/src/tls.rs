//! Certificates from files, read anew for each connection, so that new ones are used without a restart.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::rustls::{
    self, ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::WebPkiClientVerifier,
    version::TLS13,
};

use crate::error::{Error, Result};

mod name;
mod vouch;

pub use name::common_name;
pub use vouch::{Proof, Voucher, Vouchers};

const ALPN: &[u8] = b"h2";

/// Files in PEM: whom to trust, and who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl TlsFiles {
    /// For a server that only lets in who has a certificate: of our authority, or of who may vouch for this user.
    pub fn server(&self, vouchers: Arc<Vouchers>) -> Result<Arc<ServerConfig>> {
        let provider = provider();
        let roots = Arc::new(self.roots()?);
        let own = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let verifier = Arc::new(vouch::Verifier {
            own: own.map_err(|error| problem(&error))?,
            vouchers,
            provider: Arc::clone(&provider),
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| problem(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain()?, self.key()?)
            .map_err(|error| problem(&error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would go on with a certificate that is no longer there.
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    pub fn client(&self) -> Result<Arc<ClientConfig>> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| problem(&error))?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(self.chain()?, self.key()?)
            .map_err(|error| problem(&error))?;
        // Certificates are read anew for each handshake, and with them everything else is new.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate).map_err(|error| problem(&error))?;
        }
        Ok(roots)
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>> {
        certificates(&self.certificate)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| unreadable(&self.key, "there is no private key in PEM in it", error))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    const HINT: &str = "there is no certificate in PEM in it";
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| unreadable(path, HINT, error))?;
    if found.is_empty() {
        return Err(unreadable(path, HINT, pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn unreadable(path: &Path, hint: &'static str, error: pem::Error) -> Error {
    let (hint, source) = match error {
        pem::Error::Io(source) => ("the file cannot be read", Some(source)),
        _ => (hint, None),
    };
    Error::Certificate {
        path: path.to_owned(),
        hint,
        source,
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn problem(error: &dyn std::fmt::Display) -> Error {
    Error::Tls {
        problem: error.to_string(),
    }
}
