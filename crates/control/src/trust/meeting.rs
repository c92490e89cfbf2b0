//! From what a ClusterMesh names to a peer that can be trusted, or to the mistake that somebody made.

use std::{collections::BTreeMap, fmt};

use tombolo_model::id::ClusterId;

use super::{
    CLIENT_CERTIFICATE, CLIENT_KEY, ID_KEY, Introduction, Mistake, OLD_SECRET_KEY, ProofKey,
    SECRET_KEY, Secret, SecretName, Side, TrustError, VoucherFile,
};

/// What is in a Secret.
pub type Data = BTreeMap<String, Vec<u8>>;

/// This cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub introduction: Introduction,
    /// The present one first; older ones for as long as peers may still have them.
    pub secrets: Vec<Secret>,
}

/// A cluster that gave us its introduction and its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub introduction: Introduction,
    pub secrets: Vec<Secret>,
    /// What we come with to a peer that has a real etcd: that lets in only whom its own authority vouches for.
    pub client: Option<ClientPair>,
}

/// A certificate and its key, as files.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientPair {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

impl fmt::Debug for ClientPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientPair")
    }
}

impl Own {
    pub fn read(data: &Data) -> Result<Own, TrustError> {
        let (introduction, secrets) = read(data)?;
        Ok(Own {
            introduction,
            secrets,
        })
    }

    /// By these we prove to the peer that it is us. More than one while a secret is replaced.
    pub fn offered(&self, peer: &Peer) -> Vec<ProofKey> {
        pairs(
            (&self.introduction, &self.secrets),
            (&peer.introduction, &peer.secrets),
        )
    }

    /// What our store must know to let the peer in.
    pub fn voucher(&self, peer: &Peer) -> VoucherFile {
        VoucherFile {
            peer: peer.introduction.name.clone(),
            ca: peer.introduction.ca.clone(),
            keys: pairs(
                (&peer.introduction, &peer.secrets),
                (&self.introduction, &self.secrets),
            ),
        }
    }
}

type Holder<'a> = (&'a Introduction, &'a [Secret]);

fn pairs(client: Holder<'_>, server: Holder<'_>) -> Vec<ProofKey> {
    let keys = client.1.iter().flat_map(|ours| {
        let theirs = server.1.iter();
        theirs.map(|theirs| ProofKey::derive(side(client.0, ours), side(server.0, theirs)))
    });
    keys.collect()
}

fn side<'a>(introduction: &'a Introduction, secret: &'a Secret) -> Side<'a> {
    Side {
        name: &introduction.name,
        id: introduction.id,
        secret,
    }
}

/// The peer `name`, of which the Secret `secret` is said to be. `known` are all Secrets that may be read.
pub fn meet(
    own: &Own,
    name: &str,
    secret: &SecretName,
    known: &BTreeMap<SecretName, Data>,
) -> Result<Peer, Mistake> {
    let ours = &own.introduction;
    if name == ours.name {
        return Err(Mistake::OwnCluster);
    }
    let Some(data) = known.get(secret) else {
        let of_ours = |data: &Data| {
            let said = data.get(ID_KEY).and_then(|id| Introduction::peek(id).ok());
            said.is_some_and(|said| said.name == ours.name)
        };
        let misplaced = known.iter().find(|(name, data)| {
            name.namespace == secret.namespace && !name.is_own() && of_ours(data)
        });
        return Err(Mistake::Missing {
            misplaced: misplaced.map(|(name, _)| name.clone()),
        });
    };
    let mut needed = vec![ID_KEY, SECRET_KEY];
    let pair = [CLIENT_CERTIFICATE, CLIENT_KEY];
    if pair.iter().any(|key| data.contains_key(*key)) {
        needed.extend(pair);
    }
    for key in needed {
        if !data.contains_key(key) {
            let has = data.keys().cloned().collect();
            return Err(Mistake::KeyMissing { key, has });
        }
    }
    let said = Introduction::peek(&data[ID_KEY])?;
    if said.name == ours.name {
        return Err(Mistake::HoldsOwn);
    }
    if said.name != name {
        return Err(Mistake::NameDiffers { says: said.name });
    }
    if said.id == ours.id {
        return Err(Mistake::IdTaken {
            id: said.id,
            by: ours.name.clone(),
        });
    }
    let (introduction, secrets) = read(data)?;
    if secrets.iter().any(|secret| own.secrets.contains(secret)) {
        return Err(Mistake::OwnSecret);
    }
    if introduction.endpoints.is_empty() {
        return Err(Mistake::NoEndpoint);
    }
    let get = |key| data.get(key).cloned();
    let client = get(CLIENT_CERTIFICATE).zip(get(CLIENT_KEY));
    Ok(Peer {
        introduction,
        secrets,
        client: client.map(|(certificate, key)| ClientPair { certificate, key }),
    })
}

/// Takes their number from all but the first of those that say they have it.
pub fn refuse_same_ids(met: &mut BTreeMap<String, Result<Peer, Mistake>>) {
    let mut taken: BTreeMap<ClusterId, String> = BTreeMap::new();
    for (name, outcome) in met {
        let Ok(peer) = outcome else { continue };
        let id = peer.introduction.id;
        if let Some(by) = taken.get(&id) {
            let by = by.clone();
            *outcome = Err(Mistake::IdTaken { id, by });
        } else {
            taken.insert(id, name.clone());
        }
    }
}

fn read(data: &Data) -> Result<(Introduction, Vec<Secret>), TrustError> {
    let empty = Vec::new();
    let get = |key| data.get(key).unwrap_or(&empty);
    let mut secrets = vec![Secret::read(get(SECRET_KEY))?];
    if let Some(old) = data.get(OLD_SECRET_KEY) {
        secrets.push(Secret::read(old)?);
    }
    let introduction = Introduction::read(get(ID_KEY), &secrets[0])?;
    Ok((introduction, secrets))
}
