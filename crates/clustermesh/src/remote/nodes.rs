//! Addresses that stand in nodes' records, not in records of their own: those of health and ingress endpoints.

use std::collections::BTreeMap;

use tombolo_model::{
    event::Event,
    fact::{Address, AddressKey, Fact},
    record::{Node, Peer},
};

#[derive(Debug, Default)]
pub(super) struct Nodes {
    generation: u64,
    nodes: BTreeMap<String, (u64, Vec<(AddressKey, Address)>)>,
}

impl Nodes {
    pub(super) fn upsert(
        &mut self,
        peer: &Peer,
        node: &Node,
    ) -> impl Iterator<Item = Fact> + use<> {
        let addresses = peer.reserved_addresses(node);
        let entry = (self.generation, addresses.clone());
        let before = self.nodes.insert(node.name.clone(), entry);
        let before = before.map(|(_, addresses)| addresses).unwrap_or_default();
        let kept = |key: &AddressKey| addresses.iter().any(|(new, _)| new == key);
        let gone: Vec<_> = before.into_iter().filter(|(key, _)| !kept(key)).collect();
        let (old, source) = (deleted(peer, gone), peer.source());
        let new = addresses.into_iter();
        let new = new.map(move |(key, address)| Fact::Address(source, Event::Upsert(key, address)));
        old.chain(new)
    }

    pub(super) fn delete(&mut self, peer: &Peer, name: &str) -> impl Iterator<Item = Fact> + use<> {
        let gone = self.nodes.remove(name);
        deleted(
            peer,
            gone.map(|(_, addresses)| addresses).unwrap_or_default(),
        )
    }

    pub(super) fn restart(&mut self) -> Vec<Fact> {
        self.generation += 1;
        Vec::new()
    }

    /// What belongs to nodes that were not repeated.
    pub(super) fn sweep(&mut self, peer: &Peer) -> Vec<Fact> {
        let now = self.generation;
        let gone = self
            .nodes
            .extract_if(.., |_, (generation, _)| *generation != now);
        let gone: Vec<_> = gone.flat_map(|(_, (_, addresses))| addresses).collect();
        deleted(peer, gone).collect()
    }

    pub(super) fn addresses(&self, peer: &Peer) -> impl Iterator<Item = Fact> {
        let source = peer.source();
        let all = self
            .nodes
            .values()
            .flat_map(|(_, addresses)| addresses.clone());
        all.map(move |(key, address)| Fact::Address(source, Event::Upsert(key, address)))
    }
}

fn deleted(peer: &Peer, gone: Vec<(AddressKey, Address)>) -> impl Iterator<Item = Fact> + use<> {
    let source = peer.source();
    let gone = gone.into_iter();
    gone.map(move |(key, _)| Fact::Address(source, Event::Delete(key)))
}
