//! What is known of the objects that the mesh rests on.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, de::DeserializeOwned};
use tombolo_k8s::client::{Api, Item, ObjectName, Selection, WatchChange};
use tombolo_model::event::Event;

use super::{
    Operator,
    condition::Mesh,
    reach::{Node, Service},
};
use crate::{
    Feed, Troubles,
    trust::{Data, SecretName},
};

/// What the mesh API server's Service is called.
const API: &str = "clustermesh-apiserver";

#[derive(Default)]
pub struct Seen {
    pub secrets: BTreeMap<SecretName, Data>,
    pub meshes: Objects<Mesh>,
    pub service: Objects<Service>,
    pub nodes: Objects<Node>,
    raw: Objects<RawSecret>,
}

/// What tells of them.
pub struct Feeds {
    troubles: Troubles,
    secrets: Feed,
    meshes: Feed,
    service: Feed,
    nodes: Feed,
}

/// Those of a kind, by name.
#[derive(Debug)]
pub struct Objects<T> {
    all: BTreeMap<ObjectName, T>,
    /// Since the feed began anew; what is not among them when it has told all is gone.
    told: BTreeSet<ObjectName>,
    synced: bool,
}

impl<T> Default for Objects<T> {
    fn default() -> Objects<T> {
        Objects {
            all: BTreeMap::new(),
            told: BTreeSet::new(),
            synced: false,
        }
    }
}

impl<'a, T> IntoIterator for &'a Objects<T> {
    type Item = (&'a ObjectName, &'a T);
    type IntoIter = std::collections::btree_map::Iter<'a, ObjectName, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}

impl<T: DeserializeOwned> Objects<T> {
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.all.values()
    }

    fn take(&mut self, change: WatchChange, troubles: &Troubles) {
        match change {
            Ok(Event::Restart) => self.told.clear(),
            Ok(Event::Upsert(name, item)) => {
                let about = format!("reading {name}");
                self.told.insert(name.clone());
                match item.read() {
                    Ok(object) => {
                        troubles.clear(&about);
                        self.all.insert(name, object);
                    }
                    // What was known of it before stays.
                    Err(reject) => troubles.set(&about, reject.to_string()),
                }
            }
            Ok(Event::Delete(name)) => {
                self.all.remove(&name);
                self.told.remove(&name);
            }
            Ok(Event::Synced) => {
                let told = std::mem::take(&mut self.told);
                self.synced = true;
                self.all.retain(|name, _| told.contains(name));
                self.told = told;
            }
            Err(reject) => troubles.set("reading objects", reject.to_string()),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RawSecret {
    data: BTreeMap<String, String>,
}

impl Feeds {
    pub fn new(operator: &Operator) -> Feeds {
        let namespace = &operator.options.namespace;
        let feed = |selection| Feed::new(&operator.client, selection, &operator.troubles);
        let opaque = Selection::all(Api::SECRETS)
            .within(namespace)
            .field("type", "Opaque");
        Feeds {
            secrets: feed(opaque),
            meshes: feed(Selection::all(Api::CLUSTER_MESHES)),
            service: feed(Selection::one(Api::SERVICES, namespace, API)),
            nodes: feed(Selection::all(Api::NODES)),
            troubles: operator.troubles.clone(),
        }
    }

    /// Waits for the next change, and takes it. Safe to cancel.
    pub async fn change(&mut self, seen: &mut Seen) {
        let troubles = &self.troubles;
        tokio::select! {
            change = self.secrets.next() => {
                seen.raw.take(change, troubles);
                let raw = seen.raw.all.iter();
                seen.secrets = raw.map(|(name, raw)| (secret_name(name), raw.decode())).collect();
            }
            change = self.meshes.next() => seen.meshes.take(change, troubles),
            change = self.service.next() => seen.service.take(change, troubles),
            change = self.nodes.next() => seen.nodes.take(change, troubles),
        }
    }
}

impl Seen {
    /// Whether all has been told once.
    pub fn is_whole(&self) -> bool {
        self.raw.synced && self.meshes.synced && self.service.synced && self.nodes.synced
    }

    /// Those of these names that are there.
    pub fn present(&self, namespace: &str, names: &[&str]) -> BTreeMap<String, Data> {
        let of = |name: &&str| {
            let secret = super::in_namespace(namespace, name);
            Some(((*name).to_owned(), self.secrets.get(&secret)?.clone()))
        };
        names.iter().filter_map(of).collect()
    }
}

impl RawSecret {
    /// What is not base64 can't come from an API server.
    fn decode(&self) -> Data {
        let decode =
            |(key, text): (&String, &String)| Some((key.clone(), STANDARD.decode(text).ok()?));
        self.data.iter().filter_map(decode).collect()
    }
}

fn secret_name(name: &ObjectName) -> SecretName {
    super::in_namespace(&name.namespace, &name.name)
}

/// What is in a Secret, of an object that is one.
pub fn data(item: &Item) -> Option<Data> {
    let raw: RawSecret = item.read().ok()?;
    Some(raw.decode())
}

pub fn encode(data: &Data) -> BTreeMap<&str, String> {
    data.iter()
        .map(|(key, bytes)| (key.as_str(), STANDARD.encode(bytes)))
        .collect()
}
