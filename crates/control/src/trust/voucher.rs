//! What a cluster's store must know of a peer that reads it: one file for each, written by the operator.

use std::{fs, io::Read as _, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use tombolo_kvstore::{Proof, Voucher, Vouchers};
use tombolo_model::config::is_cluster_name;

use super::{ProofKey, TrustError};
use crate::certificates::authorities;

const VERSION: u64 = 1;
const ENDING: &str = "trust";
const FILE_LEN_MAX: u64 = 256 << 10;

/// A peer's authorities, and the keys by one of which it proves that it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherFile {
    pub peer: String,
    /// In PEM.
    pub ca: String,
    pub keys: Vec<ProofKey>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u64,
    peer: String,
    ca: String,
    keys: Vec<String>,
}

#[derive(Debug)]
struct AnyOf(Vec<ProofKey>);

impl Proof for AnyOf {
    fn holds(&self, certificate: &[u8]) -> bool {
        self.0.iter().any(|key| key.is_in(certificate))
    }
}

impl VoucherFile {
    /// Under which name the store looks for it.
    pub fn name(&self) -> String {
        format!("remote-{}.{ENDING}", self.peer)
    }

    pub fn text(&self) -> String {
        let keys = self.keys.iter();
        let document = Document {
            version: VERSION,
            peer: self.peer.clone(),
            ca: self.ca.clone(),
            keys: keys.map(|key| STANDARD.encode(key.bytes())).collect(),
        };
        serde_json::to_string_pretty(&document).expect("texts and numbers are JSON") + "\n"
    }

    pub fn read(file: &str, text: &[u8]) -> Result<VoucherFile, TrustError> {
        let damaged = |problem: String| TrustError::Voucher {
            file: file.to_owned(),
            problem,
        };
        let document: Document =
            serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
        if document.version != VERSION {
            return Err(damaged(format!(
                "version {} is not known",
                document.version
            )));
        }
        let keys = document.keys.iter().map(|key| {
            let bytes = STANDARD.decode(key).ok();
            bytes.and_then(|bytes| ProofKey::read(&bytes))
        });
        let keys: Option<Vec<_>> = keys.collect();
        let read = VoucherFile {
            peer: document.peer,
            ca: document.ca,
            keys: keys.ok_or_else(|| damaged("a key is not 32 bytes in base64".to_owned()))?,
        };
        if !is_cluster_name(&read.peer) || read.name() != file {
            return Err(damaged(format!("it is about `{}`", read.peer)));
        }
        read.authorities(file)?;
        Ok(read)
    }

    fn authorities(&self, file: &str) -> Result<Vec<Vec<u8>>, TrustError> {
        authorities(&self.ca).map_err(|problem| TrustError::Voucher {
            file: file.to_owned(),
            problem,
        })
    }
}

/// Those in a folder, and what is wrong with the others: who has such a file is not let in.
pub fn read_vouchers(folder: &Path) -> std::io::Result<(Vouchers, Vec<TrustError>)> {
    let (mut vouchers, mut refused) = (Vouchers::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.extension().is_none_or(|ending| ending != ENDING) {
            continue;
        }
        match read_file(&path, &name) {
            Ok((peer, voucher)) => {
                vouchers.insert(format!("remote-{peer}"), voucher);
            }
            Err(error) => refused.push(error),
        }
    }
    Ok((vouchers, refused))
}

fn read_file(path: &Path, name: &str) -> Result<(String, Voucher), TrustError> {
    let mut text = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(FILE_LEN_MAX).read_to_end(&mut text));
    read.map_err(|error| TrustError::Voucher {
        file: name.to_owned(),
        problem: error.to_string(),
    })?;
    let file = VoucherFile::read(name, &text)?;
    let authorities = file.authorities(name)?;
    let proof = Arc::new(AnyOf(file.keys));
    Ok((file.peer, Voucher { authorities, proof }))
}
