//! From a file that names a store to a connection with it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use tombolo_clustermesh::{config::Peer, drive::Connect};
use tombolo_kvstore::{Etcd, EtcdConfig, TlsFiles};

/// Connects as the file says that was told last.
#[derive(Debug)]
pub struct FileConnect {
    /// Relative paths of certificates are from here.
    folder: PathBuf,
    peer: Mutex<Peer>,
    /// Requests in a second to a store of the own cluster; upstream's pace for those of others.
    qps: Option<u32>,
    present: Mutex<Option<Etcd>>,
}

impl FileConnect {
    pub fn new(peer: Peer, folder: &Path) -> FileConnect {
        FileConnect {
            folder: folder.to_owned(),
            peer: Mutex::new(peer),
            qps: None,
            present: Mutex::new(None),
        }
    }

    /// The store of the own cluster, at no pace but its own.
    pub fn own(file: &Path, qps: u32) -> Result<FileConnect> {
        let peer = read_file(file)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        Ok(FileConnect {
            qps: Some(qps),
            ..FileConnect::new(peer, folder)
        })
    }

    pub fn set(&self, peer: Peer) {
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = peer;
    }

    pub fn peer(&self) -> Peer {
        let peer = self.peer.lock();
        peer.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The certificate by which we are known there.
    pub fn certificate(&self) -> Option<PathBuf> {
        Some(self.folder.join(self.peer().cert_file?))
    }

    pub fn bootstrapped(&self) {
        let present = self.present.lock();
        if let Some(etcd) = &*present.unwrap_or_else(PoisonError::into_inner) {
            etcd.bootstrapped();
        }
    }

    fn config(&self) -> EtcdConfig {
        let peer = self.peer();
        let join = |path: PathBuf| self.folder.join(path);
        let tls = match (peer.trusted_ca_file, peer.cert_file, peer.key_file) {
            (Some(ca), Some(certificate), Some(key)) => Some(TlsFiles {
                ca: join(ca),
                certificate: join(certificate),
                key: join(key),
            }),
            _ => None,
        };
        let mut config = EtcdConfig::new(peer.endpoints, tls);
        let aliases = peer.aliases.into_iter();
        config.host_aliases = aliases.map(|alias| (alias.hostname, alias.ips)).collect();
        if let Some(qps) = self.qps {
            config.qps = qps;
            config.bootstrap_qps = qps;
        }
        config
    }
}

impl Connect for FileConnect {
    type Store = Etcd;

    async fn connect(&self) -> tombolo_kvstore::Result<Etcd> {
        let etcd = Etcd::new(self.config())?;
        etcd.connect().await?;
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        *present = Some(etcd.clone());
        Ok(etcd)
    }
}

/// The file that says how to reach one store.
pub fn read_file(path: &Path) -> Result<Peer> {
    let shown = path.display();
    let content = fs::read(path).with_context(|| format!("{shown} can't be read"))?;
    match Peer::read(&content) {
        Ok(Some(peer)) => Ok(peer),
        Ok(None) => bail!("{shown} says nothing of a store: `endpoints:` is missing"),
        Err(error) => Err(error).with_context(|| format!("{shown} is refused")),
    }
}
