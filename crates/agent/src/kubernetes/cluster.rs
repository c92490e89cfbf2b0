//! The cluster's nodes and pods as facts.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tombolo_control::Feed;
use tombolo_k8s::{
    Kind, Object,
    client::{Api, Item, ObjectName, Selection, WatchChange},
    object::{CiliumEndpoint, CiliumNode},
};
use tombolo_model::{
    config::Config,
    event::Event,
    fact::{Address, AddressKey, Fact, Node, NodeKey, Set},
};

use super::{Kubernetes, SOURCE, malformed};
use crate::facts::BATCH;

/// For ever. Of endpoints it hands on what is told of this node's own ones.
pub async fn follow(
    kubernetes: &Kubernetes,
    config: &Config,
    facts: mpsc::Sender<Vec<Fact>>,
    records: mpsc::Sender<WatchChange>,
) {
    let feed = |api| {
        Feed::new(
            &kubernetes.client,
            Selection::all(api),
            &kubernetes.troubles,
        )
    };
    let (mut nodes, mut endpoints) = (feed(Api::CILIUM_NODES), feed(Api::CILIUM_ENDPOINTS));
    let mut told = Told::new(config);
    let mut own = Own::default();
    loop {
        let mut batch = Vec::new();
        let mut handed = Vec::new();
        tokio::select! {
            change = nodes.next() => told.node(change, &mut batch),
            change = endpoints.next() => {
                handed.extend(own.choose(&change, &config.addresses));
                told.endpoint(change, &mut batch);
            }
        }
        // What is there already is taken along.
        while batch.len() < BATCH {
            if let Some(change) = nodes.next().now_or_never() {
                told.node(change, &mut batch);
            } else if let Some(change) = endpoints.next().now_or_never() {
                handed.extend(own.choose(&change, &config.addresses));
                told.endpoint(change, &mut batch);
            } else {
                break;
            }
        }
        for change in handed {
            if records.send(change).await.is_err() {
                return;
            }
        }
        if facts.send(batch).await.is_err() {
            return;
        }
    }
}

/// The records that stand for this node's pods.
#[derive(Default)]
struct Own(BTreeSet<ObjectName>);

impl Own {
    /// What of a change is the node's own business. A record that has become another node's is gone.
    fn choose(&mut self, change: &WatchChange, addresses: &[IpAddr]) -> Option<WatchChange> {
        let Ok(event) = change else {
            // It is told of as a fact.
            return None;
        };
        let event = match event {
            Event::Restart => {
                self.0.clear();
                Event::Restart
            }
            Event::Synced => Event::Synced,
            Event::Delete(name) => {
                self.0.remove(name).then_some(())?;
                Event::Delete(name.clone())
            }
            Event::Upsert(name, item) => {
                let host = read_endpoint(item).ok().and_then(|it| it.host);
                if host.is_some_and(|host| addresses.contains(&host)) {
                    self.0.insert(name.clone());
                    Event::Upsert(name.clone(), item.clone())
                } else {
                    self.0.remove(name).then_some(())?;
                    Event::Delete(name.clone())
                }
            }
        };
        Some(Ok(event))
    }
}

/// What has been told of whom, so that what goes is told as it was.
pub struct Told<'a> {
    config: &'a Config,
    addresses: BTreeMap<ObjectName, Vec<AddressKey>>,
}

impl<'a> Told<'a> {
    pub fn new(config: &'a Config) -> Told<'a> {
        Told {
            config,
            addresses: BTreeMap::new(),
        }
    }

    pub fn node(&mut self, change: WatchChange, facts: &mut Vec<Fact>) {
        let event = match change {
            Err(reject) => return facts.push(malformed(Set::Nodes, reject.to_string())),
            Ok(Event::Restart) => Event::Restart,
            Ok(Event::Synced) => Event::Synced,
            Ok(Event::Delete(name)) => Event::Delete(self.node_key(&name)),
            // What this node is it knows better.
            Ok(Event::Upsert(name, _)) if name.name == self.config.node => return,
            Ok(Event::Upsert(name, item)) => match read_node(&item) {
                Ok(node) => self.node_event(&name, &node),
                Err(reason) => return facts.push(malformed(Set::Nodes, reason)),
            },
        };
        facts.push(Fact::Node(SOURCE, event));
    }

    pub fn endpoint(&mut self, change: WatchChange, facts: &mut Vec<Fact>) {
        let mut tell = |event| facts.push(Fact::Address(SOURCE, event));
        match change {
            Err(reject) => facts.push(malformed(Set::Addresses, reject.to_string())),
            Ok(Event::Restart) => {
                self.addresses.clear();
                tell(Event::Restart);
            }
            Ok(Event::Synced) => tell(Event::Synced),
            Ok(Event::Delete(name)) => {
                let gone = self.addresses.remove(&name).unwrap_or_default();
                gone.into_iter().for_each(|key| tell(Event::Delete(key)));
            }
            Ok(Event::Upsert(name, item)) => {
                let endpoint = match read_endpoint(&item) {
                    Ok(endpoint) => endpoint,
                    Err(reason) => return facts.push(malformed(Set::Addresses, reason)),
                };
                let now = self.addresses_of(&name, &endpoint);
                let keys: Vec<AddressKey> = now.iter().map(|(key, _)| key.clone()).collect();
                let before = self.addresses.remove(&name).unwrap_or_default();
                for key in before.into_iter().filter(|key| !keys.contains(key)) {
                    tell(Event::Delete(key));
                }
                now.into_iter()
                    .for_each(|(key, address)| tell(Event::Upsert(key, address)));
                if !keys.is_empty() {
                    self.addresses.insert(name, keys);
                }
            }
        }
    }

    fn node_key(&self, name: &ObjectName) -> NodeKey {
        NodeKey {
            cluster: self.config.cluster.clone(),
            name: name.name.clone(),
        }
    }

    /// The operator makes a node's object, and the node's agent says later how it is reached: until then nobody can be told of it.
    fn node_event(&self, name: &ObjectName, node: &CiliumNode) -> Event<NodeKey, Node> {
        let key = self.node_key(name);
        let internal = node.addresses.iter().filter(|it| it.kind == "InternalIP");
        let addresses: Vec<IpAddr> = internal.map(|it| it.ip).collect();
        if addresses.is_empty() {
            return Event::Delete(key);
        }
        let node = Node {
            cluster_id: self.config.cluster_id,
            addresses,
            pod_ranges: node.pod_ranges.clone(),
        };
        Event::Upsert(key, node)
    }

    /// None of this node's own pods, whom it knows first and knows longest.
    fn addresses_of(
        &self,
        name: &ObjectName,
        endpoint: &CiliumEndpoint,
    ) -> Vec<(AddressKey, Address)> {
        let Some(host) = endpoint.host else {
            return Vec::new();
        };
        if self.config.addresses.contains(&host) {
            return Vec::new();
        }
        let each = endpoint.reachable_addresses().iter().map(|ip| {
            let key = AddressKey {
                prefix: (*ip).into(),
                owner: name.to_string(),
            };
            let identity = endpoint.identity;
            (key, Address { identity, host })
        });
        each.collect()
    }
}

fn read_node(item: &Item) -> Result<CiliumNode, String> {
    match item.object(Kind::CiliumNode) {
        Ok((_, Object::CiliumNode(node))) => Ok(*node),
        Ok((key, _)) => unreachable!("{key} was read as a CiliumNode"),
        Err(reject) => Err(reject.to_string()),
    }
}

fn read_endpoint(item: &Item) -> Result<CiliumEndpoint, String> {
    match item.object(Kind::CiliumEndpoint) {
        Ok((_, Object::CiliumEndpoint(endpoint))) => Ok(endpoint),
        Ok((key, _)) => unreachable!("{key} was read as a CiliumEndpoint"),
        Err(reject) => Err(reject.to_string()),
    }
}
