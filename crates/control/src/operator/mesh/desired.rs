//! What the Secrets of a cluster's mesh should hold. A function of what there is: certificates that are still good stay.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::{
    files::{Names, file, server_names},
    given::{COMMON, Given},
    reach::Reach,
};
use crate::{
    certificates::{Authority, Held, Issued, Owner, Users, is_good},
    trust::{Data, Own, Peer},
};

/// Names of the Secrets that the operator writes.
pub const STORE: &str = "tombolo-store";
pub const MIRROR: &str = "tombolo-kvstoremesh";
pub const AGENTS: &str = "tombolo-clustermesh";

pub struct Inputs<'a> {
    pub own: &'a Own,
    pub authority: &'a Authority,
    pub peers: &'a BTreeMap<String, Peer>,
    pub given: &'a Given,
    /// Peers that were given may come with the one name that all of Cilium's clusters once had.
    pub shared_user: bool,
    pub reach: &'a Reach,
    /// Names of the store's server that its administrator gave.
    pub server_names: &'a [String],
    /// The real etcd in the place of the store, where there is one.
    pub etcd: Option<&'a Etcd<'a>>,
    /// Whether there is a mesh API server.
    pub serves: bool,
    /// The Secrets as they are now, by name.
    pub present: &'a BTreeMap<String, Data>,
}

/// A real etcd: where it is, and the Secret of what it lets us in with.
pub struct Etcd<'a> {
    pub endpoints: &'a [String],
    pub secret: &'a Data,
}

impl Etcd<'_> {
    /// Whom it is known by.
    pub fn authority(&self) -> Result<&str> {
        std::str::from_utf8(self.file("ca.crt")?)
            .context("ca.crt in the Secret of the etcd is no text")
    }

    fn file(&self, name: &str) -> Result<&[u8]> {
        let content = self.secret.get(name);
        let content = content.with_context(|| format!("the Secret of the etcd has no {name}"))?;
        Ok(content)
    }
}

/// By the names of Secrets.
pub fn desired(inputs: &Inputs<'_>) -> Result<BTreeMap<String, Data>> {
    let mut all = BTreeMap::new();
    if inputs.serves {
        all.insert(MIRROR.to_owned(), mirror(inputs)?);
        if inputs.etcd.is_none() {
            all.insert(STORE.to_owned(), store(inputs)?);
        }
    }
    all.insert(AGENTS.to_owned(), agents(inputs)?);
    Ok(all)
}

/// For the store: who it is, and whom it lets in.
fn store(inputs: &Inputs<'_>) -> Result<Data> {
    let mut files = Files::new(inputs, STORE);
    let mut names = inputs.server_names.to_vec();
    names.extend(server_names(&inputs.reach.peers));
    let server = Wanted {
        owner: Owner::Server,
        names: &names,
        proofs: &|_| Vec::new(),
    };
    files.pair("server.crt", "server.key", &server)?;
    files.text("ca.crt", &inputs.authority.certificate);
    let mut users = Users::default();
    for peer in inputs.peers.values() {
        let voucher = inputs.own.voucher(peer);
        users.permit(&Owner::Peer(voucher.peer.clone()).common_name());
        files.text(&voucher.name(), &voucher.text());
    }
    for peer in &inputs.given.peers {
        users.permit(&Owner::Peer(peer.clone()).common_name());
    }
    if inputs.shared_user && !inputs.given.peers.is_empty() {
        users.permit(Users::SHARED);
    }
    files.text("users.yaml", &users.text());
    Ok(files.data)
}

/// For what writes into the store: the own store, and each peer's with a certificate for it.
fn mirror(inputs: &Inputs<'_>) -> Result<Data> {
    let mut files = Files::new(inputs, MIRROR);
    let name = &inputs.own.introduction.name;
    let own = Names {
        ca: "ca.crt",
        certificate: "admin.crt",
        key: "admin.key",
    };
    match inputs.etcd {
        Some(etcd) => {
            for name in [own.ca, own.certificate, own.key] {
                files.bytes(name, etcd.file(name)?);
            }
            files.text(name, &file(name, etcd.endpoints, &own));
        }
        None => {
            files.text("ca.crt", &inputs.authority.certificate);
            let admin = Wanted {
                owner: Owner::Admin(name.clone()),
                names: &[],
                proofs: &|_| Vec::new(),
            };
            files.pair("admin.crt", "admin.key", &admin)?;
            // Beside it, in the same pod.
            let here = ["https://127.0.0.1:2379".to_owned()];
            files.text(name, &file(name, &here, &own));
        }
    }
    for (name, peer) in inputs.peers {
        let [ca, certificate, key] =
            ["-ca.crt", ".crt", ".key"].map(|end| format!("{name}.etcd-client{end}"));
        match &peer.client {
            Some(given) => {
                files.bytes(&certificate, &given.certificate);
                files.bytes(&key, &given.key);
            }
            None => {
                let keys = inputs.own.offered(peer);
                let client = Wanted {
                    owner: Owner::Peer(inputs.own.introduction.name.clone()),
                    names: &[],
                    proofs: &|public| keys.iter().map(|proof| proof.prove(public)).collect(),
                };
                files.pair(&certificate, &key, &client)?;
            }
        }
        files.text(&ca, &peer.introduction.ca);
        let names = Names {
            ca: &ca,
            certificate: &certificate,
            key: &key,
        };
        files.text(name, &file(name, &peer.introduction.endpoints, &names));
    }
    let given = inputs.given;
    if !given.peers.is_empty() {
        let [ca, certificate, key] = COMMON;
        let client = Wanted {
            owner: Owner::Peer(inputs.own.introduction.name.clone()),
            names: &[],
            proofs: &|_| Vec::new(),
        };
        files.pair(certificate, key, &client)?;
        files.text(ca, &inputs.authority.certificate);
        files.data.extend(given.files.clone());
    }
    Ok(files.data)
}

/// For the agents: each peer is read in the own store, where kvstoremesh copies it.
fn agents(inputs: &Inputs<'_>) -> Result<Data> {
    let mut files = Files::new(inputs, AGENTS);
    let own = &inputs.own.introduction.name;
    let names = Names {
        ca: "local-etcd-client-ca.crt",
        certificate: "local-etcd-client.crt",
        key: "local-etcd-client.key",
    };
    let endpoints = match inputs.etcd {
        Some(etcd) => {
            let given = [
                ("ca.crt", names.ca),
                ("local.crt", names.certificate),
                ("local.key", names.key),
            ];
            for (from, to) in given {
                files.bytes(to, etcd.file(from)?);
            }
            etcd.endpoints
        }
        None => {
            let local = Wanted {
                owner: Owner::Local(own.clone()),
                names: &[],
                proofs: &|_| Vec::new(),
            };
            files.pair(names.certificate, names.key, &local)?;
            files.text(names.ca, &inputs.authority.certificate);
            &inputs.reach.agents[..]
        }
    };
    if inputs.serves && !endpoints.is_empty() {
        // The name in the store's certificate is of the own cluster, whichever peer is read there.
        let text = file(own, endpoints, &names);
        for peer in inputs.peers.keys().chain(&inputs.given.peers) {
            files.text(peer, &text);
        }
    }
    Ok(files.data)
}

struct Wanted<'a> {
    owner: Owner,
    names: &'a [String],
    /// From the public key to the names that prove more.
    proofs: &'a dyn Fn(&[u8]) -> Vec<String>,
}

/// The content of one Secret, as it grows.
struct Files<'a> {
    authority: &'a Authority,
    present: Option<&'a Data>,
    data: Data,
}

impl<'a> Files<'a> {
    fn new(inputs: &Inputs<'a>, secret: &str) -> Files<'a> {
        Files {
            authority: inputs.authority,
            present: inputs.present.get(secret),
            data: Data::new(),
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        self.bytes(name, text.as_bytes());
    }

    fn bytes(&mut self, name: &str, content: &[u8]) {
        self.data.insert(name.to_owned(), content.to_vec());
    }

    /// Keeps the pair that is there, if it is as wanted and not about to end.
    fn pair(&mut self, certificate: &str, key: &str, wanted: &Wanted<'_>) -> Result<()> {
        let present = self.present.and_then(|data| {
            let held = Held {
                authority: &self.authority.certificate,
                certificate: std::str::from_utf8(data.get(certificate)?).ok()?,
                owner: &wanted.owner,
                names: wanted.names,
                proofs: wanted.proofs,
            };
            let key = data.get(key)?;
            is_good(&held).then(|| (held.certificate.as_bytes().to_vec(), key.clone()))
        });
        let (text, secret) = match present {
            Some(pair) => pair,
            None => {
                let Issued { certificate, key } =
                    self.authority
                        .issue_with(&wanted.owner, wanted.names, wanted.proofs)?;
                (certificate.into_bytes(), key.into_bytes())
            }
        };
        self.data.insert(certificate.to_owned(), text);
        self.data.insert(key.to_owned(), secret);
        Ok(())
    }
}
