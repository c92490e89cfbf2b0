//! The files that name a cluster's peers: one for each, as upstream writes them.
//!
//! A folder's files come in, peers and refusals come out. Watching the folder and reading it is the caller's, and so is
//! whatever the named certificates hold: they are read anew at each handshake.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::IpAddr,
    path::PathBuf,
};

use serde::Deserialize;
use tombolo_model::config::is_cluster_name;

/// Bytes that a file may have.
pub const FILE_LEN_MAX: usize = 64 << 10;
const ENDPOINTS_MAX: usize = 64;
/// By this a file is known to be about a store.
const ENDPOINTS: &[u8] = b"endpoints:";

/// How to reach a peer's store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Peer {
    pub endpoints: Vec<String>,
    pub trusted_ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// Addresses of names that no name server need know.
    #[serde(default, rename = "cilium-host-aliases")]
    pub aliases: Vec<HostAlias>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HostAlias {
    pub hostname: String,
    pub ips: Vec<IpAddr>,
}

/// What the folder says now.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    pub peers: BTreeMap<String, Entry>,
    /// Files that name no peer, with the reason.
    pub refused: BTreeMap<String, FileError>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub peer: Peer,
    /// Of the file's text: it differs where a connection must be made anew.
    pub hash: u64,
}

/// What to do about a peer after the folder has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Added(String),
    Changed(String),
    Removed(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    #[error(
        "`{name}` can't be a cluster's name: at most 32 of a-z, 0-9 and -, without - at either end"
    )]
    Name { name: String },
    #[error("the file can't be read: {reason}")]
    Unreadable { reason: String },
    #[error("the file has {len} bytes, more than {FILE_LEN_MAX}")]
    TooLong { len: usize },
    #[error("the file is not the YAML that is expected: {reason}")]
    Malformed { reason: String },
    #[error("the file has no endpoint, or more than {ENDPOINTS_MAX}")]
    Endpoints,
    #[error("endpoint `{endpoint}`: write it like https://cluster2.mesh.cilium.io:2379")]
    Endpoint { endpoint: String },
    #[error("endpoint `{endpoint}` is reached by TLS: name {missing}")]
    Certificate {
        endpoint: String,
        missing: &'static str,
    },
    #[error("a host alias has no hostname")]
    NoHostname,
    #[error("the host alias of `{hostname}` has no address")]
    NoAddress { hostname: String },
    #[error("`{hostname}` has two host aliases")]
    AliasTwice { hostname: String },
}

impl Peers {
    /// The peers of a folder, of which names and contents are given. A file that can't be read is given as the reason why.
    pub fn read(
        own: &str,
        files: impl IntoIterator<Item = (String, Result<Vec<u8>, String>)>,
    ) -> Peers {
        let mut peers = Peers::default();
        for (name, content) in files {
            // One list serves all clusters, so our own name is in it.
            if name == own || name.starts_with('.') {
                continue;
            }
            match read_file(&name, content) {
                Ok(None) => {}
                Ok(Some(entry)) => {
                    peers.peers.insert(name, entry);
                }
                Err(error) => {
                    peers.refused.insert(name, error);
                }
            }
        }
        peers
    }

    /// What has changed since `before`. A peer whose file is there but refused stays as it was: who makes a mistake in
    /// a file does not mean to take the cluster out of the mesh.
    pub fn follow(&mut self, before: &Peers) -> Vec<Change> {
        for (name, entry) in &before.peers {
            if self.refused.contains_key(name) {
                self.peers.insert(name.clone(), entry.clone());
            }
        }
        let removed = before
            .peers
            .keys()
            .filter(|name| !self.peers.contains_key(*name));
        let mut changes: Vec<_> = removed.cloned().map(Change::Removed).collect();
        for (name, entry) in &self.peers {
            match before.peers.get(name) {
                None => changes.push(Change::Added(name.clone())),
                Some(old) if old.hash != entry.hash => changes.push(Change::Changed(name.clone())),
                Some(_) => {}
            }
        }
        changes
    }
}

/// Nothing for a file that is not about a cluster, such as a certificate.
fn read_file(name: &str, content: Result<Vec<u8>, String>) -> Result<Option<Entry>, FileError> {
    let content = match content {
        Ok(content) => content,
        Err(_) if !is_cluster_name(name) => return Ok(None),
        Err(reason) => return Err(FileError::Unreadable { reason }),
    };
    if !contains(&content, ENDPOINTS) {
        return Ok(None);
    }
    if !is_cluster_name(name) {
        let name = name.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(FileError::Name { name });
    }
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let hash = hasher.finish();
    let peer = Peer::read(&content)?;
    Ok(peer.map(|peer| Entry { peer, hash }))
}

impl Peer {
    /// What a file says; nothing if it is about something else.
    pub fn read(content: &[u8]) -> Result<Option<Peer>, FileError> {
        if !contains(content, ENDPOINTS) {
            return Ok(None);
        }
        let len = content.len();
        if len > FILE_LEN_MAX {
            return Err(FileError::TooLong { len });
        }
        let malformed = |reason: String| {
            let first = reason.lines().next().unwrap_or_default();
            let reason = first.trim_start_matches("error: ").to_owned();
            FileError::Malformed { reason }
        };
        let text = std::str::from_utf8(content).map_err(|error| malformed(error.to_string()))?;
        let peer: Peer =
            serde_saphyr::from_str(text).map_err(|error| malformed(error.to_string()))?;
        peer.check()?;
        Ok(Some(peer))
    }

    fn check(&self) -> Result<(), FileError> {
        if self.endpoints.is_empty() || self.endpoints.len() > ENDPOINTS_MAX {
            return Err(FileError::Endpoints);
        }
        for endpoint in &self.endpoints {
            self.check_endpoint(endpoint)?;
        }
        let mut names = BTreeSet::new();
        for HostAlias { hostname, ips } in &self.aliases {
            let hostname = hostname.clone();
            if hostname.is_empty() {
                return Err(FileError::NoHostname);
            }
            if ips.is_empty() {
                return Err(FileError::NoAddress { hostname });
            }
            if !names.insert(hostname.clone()) {
                return Err(FileError::AliasTwice { hostname });
            }
        }
        Ok(())
    }

    fn check_endpoint(&self, endpoint: &str) -> Result<(), FileError> {
        let endpoint = endpoint.to_owned();
        let (tls, host) = match endpoint.split_once("://") {
            Some(("https", host)) => (true, host),
            Some(("http", host)) => (false, host),
            _ => return Err(FileError::Endpoint { endpoint }),
        };
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '?' | '#' | '@');
        if host.is_empty() || !host.trim_end_matches('/').chars().all(plain) {
            return Err(FileError::Endpoint { endpoint });
        }
        let missing = match (&self.trusted_ca_file, &self.cert_file, &self.key_file) {
            (None, ..) => "trusted-ca-file",
            (_, None, Some(_)) => "cert-file, which key-file belongs to",
            (_, Some(_), None) => "key-file, which cert-file belongs to",
            _ => return Ok(()),
        };
        if tls {
            return Err(FileError::Certificate { endpoint, missing });
        }
        Ok(())
    }
}

fn contains(content: &[u8], word: &[u8]) -> bool {
    content.windows(word.len()).any(|window| window == word)
}
