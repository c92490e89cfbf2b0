//! Whom of other clusters to ask whether they answer, and what it means that they don't.

use super::World;
use crate::{
    health::{Aim, Silence, Target},
    node::Believed,
    service::Silent,
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

impl World {
    /// The nodes where backends of other clusters are that this cluster's services use, and those of them that are pods;
    /// nothing if all is as it was when this was asked last. Where no node is told or found, all of that cluster's stand for it.
    pub fn take_aim(&mut self) -> Option<Aim> {
        let places = self.services.take_places();
        if places.is_none() && !self.aim_moved {
            return None;
        }
        self.aim_moved = false;
        if let Some(places) = places {
            self.places = places;
        }
        let ranges = self.ranges();
        let (mut named, mut whole) = (BTreeMap::new(), BTreeSet::new());
        for ((cluster, ip), place) in &self.places {
            let name = place.node.as_deref().or_else(|| node_at(&ranges, *ip));
            let Some(name) = name else {
                whole.insert(*cluster);
                continue;
            };
            let ready = named.entry((*cluster, name)).or_insert_with(Vec::new);
            ready.extend(place.is_ready.then_some(*ip));
        }
        let mut aim = Aim {
            peers: self.peers().collect(),
            stale: self.sources.stale(),
            ..Aim::default()
        };
        let others = self.nodes.believed();
        let others = others.filter(|(_, it)| it.node.cluster_id != self.config.cluster_id);
        for (key, believed) in others {
            let cluster = believed.node.cluster_id;
            let ready = named.remove(&(cluster, key.name.as_str()));
            let is_used = ready.is_some() || whole.contains(&cluster);
            let Some(router) = self.router_of(believed).filter(|_| is_used) else {
                continue;
            };
            let target = |address| Target {
                node: key.clone(),
                cluster,
                address,
            };
            aim.nodes.push(target(router));
            // What has the node's own address is the node.
            let pods = ready.into_iter().flatten();
            let pods =
                pods.filter(|ip| !believed.node.addresses.contains(ip) && self.has_family(*ip));
            aim.backends.extend(pods.map(target));
        }
        Some(aim)
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
        believed.routers().find(|ip| self.has_family(*ip))
    }

    fn has_family(&self, ip: IpAddr) -> bool {
        let mut own = self.config.pod_ranges.iter();
        own.any(|range| range.addr().is_ipv4() == ip.is_ipv4())
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

    /// Clusters are heard that were not, or the other way round. What those tell that are heard counts at once, and against
    /// whatever silence there was.
    pub(super) fn believe_news(&mut self) {
        let stale = self.sources.stale();
        for ((cluster, _), unanswered) in &mut self.silence.backends {
            unanswered.is_believed &= stale.contains_key(cluster);
        }
        self.aim_moved = true;
        self.fall_silent();
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
        let stale = self.sources.stale();
        for ((cluster, ip), unanswered) in &self.silence.backends {
            if unanswered.is_believed && stale.contains_key(cluster) {
                silent.backend(*cluster, *ip, unanswered.since);
            } else {
                silent.mute(*cluster, *ip);
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
