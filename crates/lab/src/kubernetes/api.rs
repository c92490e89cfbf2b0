//! Questions to a cluster's API server, as its administrator, from inside of its control machine.

use super::{API_PORT, FOLDER, api_addresses};
use crate::{
    Error,
    error::Result,
    http::{self, Page},
    plan::{MachineId, Namespace},
    state::{Role, State},
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tombolo_linux::netns::Netns;

const PATIENCE: Duration = Duration::from_secs(5);
/// A server on a busy machine may leave a question without an answer that long.
const TRIES: usize = 3;

/// Takes a few milliseconds, which the cluster's own command line does not.
pub struct Api {
    machine: MachineId,
    netns: Netns,
    address: SocketAddr,
    configuration: Arc<ClientConfig>,
}

impl Api {
    pub fn of(state: &State, cluster: u8) -> Result<Api> {
        let machine = MachineId::Control(cluster);
        let folder = state.path_in(machine, FOLDER)?;
        let file = |name: &str| folder.join(name);
        let configuration = configuration(file("ca.crt"), file("admin.crt"), file("admin.key"))
            .map_err(Error::file("read the certificates in", &folder))?;
        Ok(Api {
            machine,
            netns: Netns::named(&Namespace::Machine(machine).name(&state.name))?,
            address: (api_addresses(state, cluster)[0], API_PORT).into(),
            configuration: Arc::new(configuration),
        })
    }

    /// As it answers, well or not.
    pub fn page(&self, path: &str) -> Result<Page> {
        let ask = || self.page_at(self.address, path);
        let unanswered =
            |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        let mut page = ask();
        for _ in 1..TRIES {
            if !page.as_ref().is_err_and(unanswered) {
                break;
            }
            page = ask();
        }
        let told = |error| match unanswered(&error) {
            true => io::Error::other(format!(
                "no answer, asked {TRIES} times, {} s each",
                PATIENCE.as_secs()
            )),
            false => error,
        };
        page.map_err(|error| Error::Program {
            role: Role::KubeApiserver.name(),
            machine: self.machine,
            source: told(error),
        })
    }

    /// What the server has at a path.
    pub fn get(&self, path: &str) -> Result<Value> {
        let page = self.page(path)?;
        let fail = |said: String| Error::Tool {
            tool: format!("asking the kube-apiserver of {} for {path}", self.machine),
            said,
        };
        if !page.well {
            return Err(fail(page.body));
        }
        serde_json::from_str(&page.body).map_err(|error| fail(error.to_string()))
    }

    fn page_at(&self, address: SocketAddr, path: &str) -> io::Result<Page> {
        let exchange = || {
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let name = ServerName::from(address.ip());
            let session = ClientConnection::new(Arc::clone(&self.configuration), name);
            let session = session.map_err(malformed)?;
            http::exchange(
                StreamOwned::new(session, stream),
                &address.to_string(),
                path,
            )
        };
        self.netns.run(exchange).map_err(io::Error::other)?
    }
}

fn configuration(
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority).map_err(malformed)?)
        .map_err(malformed)?;
    let certificate = CertificateDer::from_pem_file(certificate).map_err(malformed)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(malformed)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(malformed)?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .map_err(malformed)
}

fn malformed(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
