//! What people are told of the world.

use super::World;
use crate::{
    change::Place,
    fact::Set,
    id::EndpointId,
    local::{AddressView, Endpoint, NodeView, ServiceSummary, ServiceView, Status},
    name::{self, Answer, Question},
    record::Namespaced,
    refusal::Refusal,
    service::Protocol,
};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// How many refused records a status names one by one.
const REFUSALS_NAMED_MAX: usize = 8;

impl World {
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoints
            .ids()
            .filter_map(|id| self.endpoints.view(id))
            .collect()
    }

    pub fn endpoint(&self, id: EndpointId) -> Option<Endpoint> {
        self.endpoints.view(id)
    }

    pub fn services(&self) -> Vec<ServiceSummary> {
        self.services.list()
    }

    /// Who answers for a service, and why; nothing if the own cluster has none of this name.
    pub fn service(&self, name: &Namespaced, now: Duration) -> Option<ServiceView> {
        self.services.explain(name, now)
    }

    /// What is said to whoever asks for a name.
    pub fn name(&self, question: &Question) -> Answer {
        match &self.config.name_service {
            Some(own) if self.knows_services() => name::answer(question, own, &self.services),
            _ => Answer::Forward,
        }
    }

    /// Who answers what the node does not.
    pub fn name_servers(&self, protocol: Protocol) -> Vec<SocketAddr> {
        let own = self.config.name_service.as_ref();
        own.map_or(Vec::new(), |own| {
            name::servers(own, &self.services, protocol)
        })
    }

    /// Whether the own cluster has told all its services.
    pub fn knows_services(&self) -> bool {
        self.sources.knows_services()
    }

    /// The node itself first.
    pub fn nodes(&self) -> Vec<NodeView> {
        let own = NodeView {
            cluster: self.config.cluster.clone(),
            cluster_id: self.config.cluster_id,
            name: self.config.node.clone(),
            addresses: self.config.addresses.clone(),
            pod_ranges: self.config.pod_ranges.clone(),
            tunnel: None,
            source: "own".into(),
        };
        let others = self.nodes.believed().map(|(key, believed)| NodeView {
            cluster: key.cluster.clone(),
            cluster_id: believed.node.cluster_id,
            name: key.name.clone(),
            addresses: believed.node.addresses.clone(),
            pod_ranges: believed.node.pod_ranges.clone(),
            tunnel: believed.path.as_ref().map(|(_, path)| path.address),
            source: believed.source.to_string(),
        });
        std::iter::once(own).chain(others).collect()
    }

    /// Those that somebody speaks of, and those that the kernel is left with for whoever is awaited.
    pub fn addresses(&self) -> Vec<AddressView> {
        let view = self.wanted();
        let tables = view.tables();
        let prefixes = tables.addresses.keys();
        let attributed = prefixes.filter_map(|prefix| Some((prefix, view.attributed(&prefix)?)));
        let known = attributed.map(|(prefix, (reach, source))| (prefix, reach, source.to_string()));
        let held = self.ledger.held().addresses.iter();
        let kept = held.filter(|(prefix, _)| !tables.addresses.contains_key(prefix));
        let kept = kept.map(|(prefix, reach)| (prefix, *reach, "kept".to_owned()));
        let mut all: Vec<AddressView> = known
            .chain(kept)
            .map(|(prefix, reach, source)| AddressView {
                prefix,
                identity: reach.identity,
                place: self.place_name(reach.place),
                source,
            })
            .collect();
        all.sort_by_key(|view| view.prefix);
        all
    }

    fn place_name(&self, place: Place) -> String {
        match place {
            Place::Local(id) => format!("local {id}"),
            Place::Host => "host".into(),
            Place::World => "world".into(),
            Place::Nowhere => "nowhere".into(),
            Place::Remote(slot) => match self.nodes.key_of_slot(slot) {
                Some(key) => format!("remote {key}"),
                None => format!("remote slot {slot}"),
            },
        }
    }

    /// What the world knows of a status; the rest is for those who know the clock and the kernel.
    pub fn status(&self) -> Status {
        let mut free_addresses = BTreeMap::new();
        for pool in self.endpoints.pools() {
            let family = if pool.range().addr().is_ipv4() {
                "ipv4"
            } else {
                "ipv6"
            };
            free_addresses.insert(family.to_owned(), pool.free_count());
        }
        Status {
            cluster: self.config.cluster.clone(),
            cluster_id: self.config.cluster_id,
            node: self.config.node.clone(),
            routing: self.config.routing,
            pod_ranges: self.config.pod_ranges.clone(),
            pod_mtu: self.config.pod_mtu,
            synced: self.synced(),
            awaited: self.sources.awaited(&self.config),
            kept: self.ledger.kept(),
            endpoints: self.endpoints.ids().count(),
            nodes: self.nodes.believed().count(),
            addresses: self.ledger.held().addresses.len(),
            pending: self.ledger.pending(),
            free_addresses,
            warnings: self.warnings(),
            rejected: self.rejected(),
            ..Status::default()
        }
    }

    /// How many records are refused now, by reason.
    pub fn rejected(&self) -> BTreeMap<String, u64> {
        let nodes = self.nodes.refused().map(|(_, refusal)| refusal);
        let addresses = self.ipcache.refused().map(|(_, _, refusal)| refusal);
        let malformed = self.sources.malformed().map(|_| Refusal::Malformed);
        let mut rejected = BTreeMap::new();
        for refusal in nodes.chain(addresses).chain(malformed) {
            *rejected.entry(refusal.label().to_owned()).or_default() += 1;
        }
        for (_, count) in self.ipcache.excess() {
            let label = Refusal::TableFull.label().to_owned();
            *rejected.entry(label).or_default() += count as u64;
        }
        rejected
    }

    fn warnings(&self) -> Vec<String> {
        let nodes = self
            .nodes
            .refused()
            .map(|(key, refusal)| format!("node {key} is refused: {refusal}"));
        let addresses = self.ipcache.refused().map(|(prefix, source, refusal)| {
            format!("address {prefix} of {source} is refused: {refusal}")
        });
        let excess = self.ipcache.excess().map(|(source, count)| {
            let refusal = Refusal::TableFull;
            format!("{count} addresses of {source} are refused: {refusal}")
        });
        let malformed = self.sources.malformed().map(|(source, set, record)| {
            let what = match set {
                Set::Nodes => "node",
                Set::Addresses => "address",
                Set::Namespaces => "namespace",
                Set::Services => "service",
                Set::EndpointSlices => "endpoint slice",
            };
            format!("a {what} record of {source} is refused: {record}")
        });
        nodes
            .chain(addresses)
            .chain(excess)
            .chain(malformed)
            .take(REFUSALS_NAMED_MAX)
            .collect()
    }
}
