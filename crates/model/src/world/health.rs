//! Whom of other clusters to ask whether they answer, and what it means that they don't.

use super::World;
use crate::{
    health::{Aim, Silence, Target},
    node::Believed,
    service::{Seat, Silent},
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

impl World {
    /// The nodes where backends of other clusters are that this cluster's services use; nothing if they are as they were when
    /// this was asked last. Where no node is told or found, all of that cluster's stand for it.
    pub fn take_aim(&mut self) -> Option<Aim> {
        let places = self.services.take_places();
        if places.is_none() && !self.nodes_moved {
            return None;
        }
        self.nodes_moved = false;
        if let Some(places) = places {
            self.places = places;
        }
        let ranges = self.ranges();
        let (mut named, mut whole) = (BTreeSet::new(), BTreeSet::new());
        for place in &self.places {
            match place {
                Seat::Node(cluster, name) => {
                    named.insert((*cluster, name.as_ref()));
                }
                Seat::Address(cluster, ip) => match node_at(&ranges, *ip) {
                    Some(name) => {
                        named.insert((*cluster, name));
                    }
                    None => {
                        whole.insert(*cluster);
                    }
                },
            }
        }
        let targets = self.nodes.believed().filter_map(|(key, believed)| {
            let cluster = believed.node.cluster_id;
            let is_used = whole.contains(&cluster) || named.contains(&(cluster, key.name.as_str()));
            (is_used && cluster != self.config.cluster_id).then_some(())?;
            Some(Target {
                node: key.clone(),
                cluster,
                address: self.router_of(believed)?,
            })
        });
        Some(Aim {
            targets: targets.collect(),
            peers: self.peers().collect(),
        })
    }

    fn peers(&self) -> impl Iterator<Item = IpAddr> {
        let own = &self.config;
        let peers = self.nodes.believed().filter(|(key, believed)| {
            believed.node.cluster_id == own.cluster_id && key.name != own.node
        });
        peers.filter_map(|(_, believed)| self.router_of(believed))
    }

    /// The node's own address among its pods, in a family that this node's pods have too.
    fn router_of(&self, believed: &Believed) -> Option<IpAddr> {
        let own = &self.config.pod_ranges;
        let mut routers = believed.routers();
        routers.find(|ip| {
            own.iter()
                .any(|range| range.addr().is_ipv4() == ip.is_ipv4())
        })
    }

    /// Whose pods are where, of other clusters.
    fn ranges(&self) -> BTreeMap<IpAddr, (IpNet, &str)> {
        let others = self.nodes.believed();
        let others =
            others.filter(|(_, believed)| believed.node.cluster_id != self.config.cluster_id);
        let ranges = others.flat_map(|(key, believed)| {
            let nets = nets(believed);
            nets.map(|net| (net.network(), (net, key.name.as_str())))
        });
        ranges.collect()
    }

    /// Who does not answer.
    pub fn silence(&self) -> &Silence {
        &self.silence
    }

    /// The network namespaces of this node's pods, as their runtime calls them.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        let records = self.endpoints.ids();
        let records = records.filter_map(|id| self.endpoints.record(id));
        let told = records.filter(|record| record.ifindex != 0 && !record.netns.is_empty());
        told.map(|record| record.netns.as_str())
    }

    pub(super) fn fall_silent(&mut self) {
        let mut silent = Silent::default();
        for (cluster, since) in &self.silence.clusters {
            silent.cluster(*cluster, *since);
        }
        for (key, since) in &self.silence.nodes {
            if let Some(believed) = self.nodes.get(key) {
                silent.node(believed.node.cluster_id, key, nets(believed), *since);
            }
        }
        self.services.fall_silent(silent);
        self.touch_services();
    }
}

fn nets(believed: &Believed) -> impl Iterator<Item = IpNet> {
    let addresses = believed.node.addresses.iter().copied().map(IpNet::from);
    addresses.chain(believed.node.pod_ranges.iter().copied())
}

fn node_at<'a>(ranges: &BTreeMap<IpAddr, (IpNet, &'a str)>, ip: IpAddr) -> Option<&'a str> {
    let (net, name) = ranges.range(..=ip).next_back()?.1;
    net.contains(&ip).then_some(*name)
}
