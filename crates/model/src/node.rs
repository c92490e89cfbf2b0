//! The nodes of the mesh: which are believed, which slot of the kernel's table each has, whose an address or a range is.
//!
//! A conflict is settled for the node that was there first. The refused one is kept and asked again whenever another goes.

use crate::{
    change::NodePath,
    config::{Config, is_cluster_name, is_host_address, is_node_name},
    fact::{Node, NodeKey, Source},
    id::{ClusterId, NodeSlot},
    ledger::Ledger,
    pool::{Numbers, Pool},
    refusal::Refusal,
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

const ADDRESSES_MAX: usize = 16;
const RANGES_MAX: usize = 64;
const NODES_MAX: u16 = u16::MAX;

pub(crate) struct Nodes {
    entries: BTreeMap<Arc<NodeKey>, Entry>,
    believed: BTreeMap<Arc<NodeKey>, Believed>,
    refused: BTreeMap<Arc<NodeKey>, Refusal>,
    by_address: BTreeMap<IpAddr, Seat>,
    /// Addresses that nodes have among their pods, by convention and not by a record.
    by_router: BTreeMap<IpAddr, Seat>,
    by_slot: BTreeMap<NodeSlot, Arc<NodeKey>>,
    /// No two of them overlap.
    ranges: BTreeSet<IpNet>,
    clusters: BTreeMap<ClusterId, (String, usize)>,
    slots: Numbers,
}

/// What each source says of one node, and in which of its snapshots it said so; the greatest source last.
type Entry = Vec<(Source, u64, Arc<Node>)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Believed {
    pub(crate) node: Arc<Node>,
    pub(crate) source: Source,
    /// Absent when the node can't be reached.
    pub(crate) path: Option<(NodeSlot, NodePath)>,
}

/// Of a believed node what its addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) cluster: ClusterId,
    pub(crate) source: Source,
    pub(crate) slot: Option<NodeSlot>,
}

/// What of the kernel's tables may have to change.
#[derive(Default)]
pub(crate) struct Touched {
    pub(crate) slots: BTreeSet<NodeSlot>,
    pub(crate) addresses: BTreeSet<IpAddr>,
    pub(crate) ranges: BTreeSet<IpNet>,
}

/// What a node is judged by, beside the other nodes.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a Config,
    pub(crate) ledger: &'a Ledger,
}

impl Nodes {
    pub(crate) fn new() -> Nodes {
        Nodes {
            entries: BTreeMap::new(),
            believed: BTreeMap::new(),
            refused: BTreeMap::new(),
            by_address: BTreeMap::new(),
            by_router: BTreeMap::new(),
            by_slot: BTreeMap::new(),
            ranges: BTreeSet::new(),
            clusters: BTreeMap::new(),
            slots: Numbers::new(1, u128::from(NODES_MAX)),
        }
    }

    pub(crate) fn upsert(
        &mut self,
        source: Source,
        generation: u64,
        key: NodeKey,
        mut node: Node,
        context: &Context,
    ) -> Touched {
        node.pod_ranges = node.pod_ranges.iter().map(IpNet::trunc).collect();
        let key = self.key(key);
        let entry = self.entries.entry(key.clone()).or_default();
        match entry.iter_mut().find(|told| told.0 == source) {
            Some((_, told, former)) => {
                *told = generation;
                if **former == node {
                    return Touched::default();
                }
                *former = Arc::new(node);
            }
            None => {
                entry.reserve_exact(1);
                let place = entry.partition_point(|told| told.0 < source);
                entry.insert(place, (source, generation, Arc::new(node)));
            }
        }
        self.settle(key, context)
    }

    pub(crate) fn delete(&mut self, source: Source, key: NodeKey, context: &Context) -> Touched {
        let key = self.key(key);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.retain(|told| told.0 != source);
            if entry.is_empty() {
                self.entries.remove(&key);
            }
        }
        self.settle(key, context)
    }

    /// The nodes that a source did not repeat in its snapshot.
    pub(crate) fn unrepeated(&self, source: Source, generation: u64) -> Vec<NodeKey> {
        let old = |entry: &Entry| {
            let mut told = entry.iter();
            told.any(|(other, told, _)| *other == source && *told != generation)
        };
        let old = self.entries.iter().filter(|(_, entry)| old(entry));
        old.map(|(key, _)| NodeKey::clone(key)).collect()
    }

    /// As it stands already, so that a name takes its place once.
    fn key(&self, key: NodeKey) -> Arc<NodeKey> {
        let known = self.entries.get_key_value(&key);
        known.map_or_else(|| Arc::new(key), |(known, _)| known.clone())
    }

    fn told(&self, key: &NodeKey) -> Option<(Source, Arc<Node>)> {
        let (source, _, node) = self.entries.get(key)?.last()?;
        Some((*source, node.clone()))
    }

    fn settle(&mut self, key: Arc<NodeKey>, context: &Context) -> Touched {
        let mut touched = Touched::default();
        let told = self.told(&key);
        if let (Some((source, node)), Some(believed)) = (&told, self.believed.get_mut(&key))
            && *node == believed.node
        {
            believed.source = *source;
            let believed = believed.clone();
            self.seat(&believed);
            return touched;
        }
        let withdrawn = self.withdraw(&key, &mut touched);
        let went = withdrawn.is_some();
        let former = withdrawn.and_then(|believed| believed.path);
        let former = former.map(|(slot, path)| (slot, path.address));
        self.refused.remove(&key);
        if let Some((source, node)) = told {
            self.believe(key, source, node, former, context, &mut touched);
        }
        if let Some((slot, _)) = former {
            self.settle_slot(slot, context.ledger);
        }
        // What went may have stood in the way of others.
        let refused: Vec<_> = match went {
            true => self.refused.keys().cloned().collect(),
            false => Vec::new(),
        };
        for key in refused {
            if !self.believed.contains_key(&key)
                && let Some((source, node)) = self.told(&key)
            {
                self.believe(key, source, node, None, context, &mut touched);
            }
        }
        touched
    }

    fn believe(
        &mut self,
        key: Arc<NodeKey>,
        source: Source,
        node: Arc<Node>,
        former: Option<(NodeSlot, IpAddr)>,
        context: &Context,
        touched: &mut Touched,
    ) {
        if let Err(refusal) = self.judge(&key, &node, context.config) {
            self.refused.insert(key, refusal);
            return;
        }
        self.refused.remove(&key);
        let path = match context.config.underlay_to(&node.addresses) {
            None => Err(Refusal::NoCommonFamily),
            Some(address) => self
                .take_slot(former, address, context.ledger)
                .ok_or(Refusal::TableFull)
                .map(|slot| {
                    let path = NodePath {
                        cluster: node.cluster_id,
                        address,
                        routing: context.config.routing,
                    };
                    (slot, path)
                }),
        };
        if let Err(refusal) = path {
            self.refused.insert(key.clone(), refusal);
        }
        let path = path.ok();
        if let Some((slot, _)) = &path {
            self.by_slot.insert(*slot, key.clone());
        }
        self.clusters
            .entry(node.cluster_id)
            .or_insert_with(|| (key.cluster.clone(), 0))
            .1 += 1;
        self.ranges.extend(&node.pod_ranges);
        let believed = Believed { node, source, path };
        self.seat(&believed);
        believed.touch(touched);
        self.believed.insert(key, believed);
    }

    fn seat(&mut self, believed: &Believed) {
        let seat = Seat {
            cluster: believed.node.cluster_id,
            source: believed.source,
            slot: believed.path.as_ref().map(|(slot, _)| *slot),
        };
        let addresses = believed.node.addresses.iter();
        self.by_address
            .extend(addresses.map(|address| (*address, seat)));
        self.by_router
            .extend(believed.routers().map(|router| (router, seat)));
    }

    fn withdraw(&mut self, key: &NodeKey, touched: &mut Touched) -> Option<Believed> {
        let believed = self.believed.remove(key)?;
        believed.touch(touched);
        for address in &believed.node.addresses {
            self.by_address.remove(address);
        }
        for range in &believed.node.pod_ranges {
            self.ranges.remove(range);
        }
        for router in believed.routers() {
            self.by_router.remove(&router);
        }
        if let Some((slot, _)) = &believed.path {
            self.by_slot.remove(slot);
        }
        if let Some((_, count)) = self.clusters.get_mut(&believed.node.cluster_id) {
            *count -= 1;
            if *count == 0 {
                self.clusters.remove(&believed.node.cluster_id);
            }
        }
        Some(believed)
    }

    fn judge(&self, key: &NodeKey, node: &Node, config: &Config) -> Result<(), Refusal> {
        if !is_cluster_name(&key.cluster) || !is_node_name(&key.name) {
            return Err(Refusal::NameInvalid);
        }
        self.judge_cluster(key, node.cluster_id, config)?;
        if node.addresses.is_empty() {
            return Err(Refusal::NoAddress);
        }
        if node.addresses.len() > ADDRESSES_MAX || node.pod_ranges.len() > RANGES_MAX {
            return Err(Refusal::TooManyAddresses);
        }
        for address in &node.addresses {
            self.judge_address(*address, config)?;
        }
        for (index, range) in node.pod_ranges.iter().enumerate() {
            self.judge_range(*range, config)?;
            if node.pod_ranges[..index]
                .iter()
                .any(|other| overlap(other, range))
            {
                return Err(Refusal::RangeOverlaps);
            }
            if node.addresses.iter().any(|address| range.contains(address)) {
                return Err(Refusal::RangeCoversNode);
            }
        }
        Ok(())
    }

    fn judge_cluster(&self, key: &NodeKey, id: ClusterId, config: &Config) -> Result<(), Refusal> {
        if key.cluster == config.cluster {
            return if id == config.cluster_id {
                Ok(())
            } else {
                Err(Refusal::ClusterIdTaken)
            };
        }
        if config.cluster_id.0 == 0 {
            return Err(Refusal::OwnClusterIdZero);
        }
        if id.0 == 0 || id.0 > config.clusters_max {
            return Err(Refusal::ClusterIdInvalid);
        }
        let taken = self
            .clusters
            .get(&id)
            .is_some_and(|(name, _)| *name != key.cluster);
        if id == config.cluster_id || taken {
            Err(Refusal::ClusterIdTaken)
        } else {
            Ok(())
        }
    }

    fn judge_address(&self, address: IpAddr, config: &Config) -> Result<(), Refusal> {
        if !is_host_address(address) {
            return Err(Refusal::AddressUnusable);
        }
        if config.addresses.contains(&address) || self.by_address.contains_key(&address) {
            return Err(Refusal::AddressTaken);
        }
        let prefix = IpNet::from(address);
        if config
            .pod_ranges
            .iter()
            .any(|range| range.contains(&address))
            || self.overlapping(prefix).is_some()
        {
            return Err(Refusal::AddressInPodRange);
        }
        Ok(())
    }

    fn judge_range(&self, range: IpNet, config: &Config) -> Result<(), Refusal> {
        if range.prefix_len() == 0 || !is_host_address(range.broadcast()) {
            return Err(Refusal::AddressUnusable);
        }
        if config.pod_ranges.iter().any(|own| overlap(own, &range)) {
            return Err(Refusal::RangeOverlapsOwn);
        }
        if self.overlapping(range).is_some() {
            return Err(Refusal::RangeOverlaps);
        }
        let covers_own = config
            .addresses
            .iter()
            .any(|address| range.contains(address));
        if covers_own
            || self
                .by_address
                .range(range.network()..=range.broadcast())
                .next()
                .is_some()
        {
            return Err(Refusal::RangeCoversNode);
        }
        Ok(())
    }

    /// A believed node's range that shares an address with this one.
    fn overlapping(&self, range: IpNet) -> Option<IpNet> {
        let within = self
            .ranges
            .range(range..)
            .take_while(|other| range.contains(&other.network()));
        let above = (0..=range.prefix_len())
            .filter_map(|len| IpNet::new(range.network(), len).ok())
            .map(|net| net.trunc());
        let above = above.filter(|net| self.ranges.contains(net));
        within.copied().chain(above).next()
    }

    /// A slot leads to one address all its life, so that no two ever lead to the same, whatever nodes exchange.
    fn take_slot(
        &mut self,
        former: Option<(NodeSlot, IpAddr)>,
        address: IpAddr,
        ledger: &Ledger,
    ) -> Option<NodeSlot> {
        if let Some((slot, _)) = former.filter(|(_, led_to)| *led_to == address) {
            return Some(slot);
        }
        if let Some(slot) = ledger
            .slot_leading_to(address)
            .filter(|slot| !self.by_slot.contains_key(slot))
        {
            self.slots.restore(u128::from(slot.0));
            return Some(slot);
        }
        self.slots.take().map(|number| NodeSlot(number as u16))
    }

    /// A slot that the kernel holds since before the start.
    pub(crate) fn restore_slot(&mut self, slot: NodeSlot) {
        self.slots.restore(u128::from(slot.0));
    }

    /// Gives a slot back, once no node has it and the kernel has forgotten it.
    pub(crate) fn settle_slot(&mut self, slot: NodeSlot, ledger: &Ledger) {
        if !self.by_slot.contains_key(&slot) && !ledger.holds_slot(slot) {
            self.slots.free(u128::from(slot.0));
        }
    }

    pub(crate) fn path(&self, slot: NodeSlot) -> Option<&NodePath> {
        let (_, path) = self.believed.get(self.by_slot.get(&slot)?)?.path.as_ref()?;
        Some(path)
    }

    pub(crate) fn key_of_slot(&self, slot: NodeSlot) -> Option<&NodeKey> {
        self.by_slot.get(&slot).map(Arc::as_ref)
    }

    /// The node that has this address.
    pub(crate) fn at(&self, address: IpAddr) -> Option<Seat> {
        self.by_address.get(&address).copied()
    }

    /// The node whose own address among its pods this is, if nobody claims it.
    pub(crate) fn at_router(&self, address: IpAddr) -> Option<Seat> {
        self.by_router.get(&address).copied()
    }

    pub(crate) fn has_range(&self, range: &IpNet) -> bool {
        self.ranges.contains(range)
    }

    pub(crate) fn believed(&self) -> impl Iterator<Item = (&NodeKey, &Believed)> {
        let believed = self.believed.iter();
        believed.map(|(key, believed)| (key.as_ref(), believed))
    }

    pub(crate) fn get(&self, key: &NodeKey) -> Option<&Believed> {
        self.believed.get(key)
    }

    pub(crate) fn refused(&self) -> impl Iterator<Item = (&NodeKey, Refusal)> {
        self.refused
            .iter()
            .map(|(key, refusal)| (key.as_ref(), *refusal))
    }
}

impl Believed {
    /// The node's own addresses among its pods: each range's first.
    pub(crate) fn routers(&self) -> impl Iterator<Item = IpAddr> {
        let ranges = self.node.pod_ranges.iter();
        ranges.filter_map(|range| Some(Pool::new(*range).ok()?.router()))
    }

    fn touch(&self, touched: &mut Touched) {
        touched
            .slots
            .extend(self.path.iter().map(|(slot, _)| *slot));
        touched.addresses.extend(&self.node.addresses);
        touched.addresses.extend(self.routers());
        touched.ranges.extend(&self.node.pod_ranges);
    }
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}
