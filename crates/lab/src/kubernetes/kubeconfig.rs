//! Files that lead clients to API servers.

use super::authority::Pair;
use crate::state::folder;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{fmt::Write as _, path::PathBuf};

/// One cluster, with the user that the reader of the file is to it.
pub struct Entry<'a> {
    pub context: String,
    pub server: String,
    pub authority: &'a str,
    pub pair: Pair,
}

/// The file for the lab's user.
pub fn path(lab: &str) -> PathBuf {
    folder(lab).join("kubeconfig")
}

/// The first entry is the current one.
pub fn text(entries: &[Entry<'_>]) -> String {
    let mut clusters = String::new();
    let mut users = String::new();
    let mut contexts = String::new();
    for Entry {
        context,
        server,
        authority,
        pair,
    } in entries
    {
        let _ = write!(
            clusters,
            "- name: {context}\n  cluster:\n    server: {server}\n    certificate-authority-data: {}\n",
            STANDARD.encode(authority)
        );
        let _ = write!(
            users,
            "- name: {context}\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
            STANDARD.encode(&pair.certificate),
            STANDARD.encode(&pair.key)
        );
        let _ = write!(
            contexts,
            "- name: {context}\n  context:\n    cluster: {context}\n    user: {context}\n"
        );
    }
    let current = entries.first().map_or("", |entry| &entry.context);
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {current}\nclusters:\n{clusters}users:\n{users}contexts:\n{contexts}"
    )
}
