//! Which backends are where nobody answers, and which do not answer themselves.

use crate::{fact::NodeKey, id::ClusterId};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

/// Clusters, nodes and backends that have fallen silent, each with the time of its last answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Silent {
    clusters: BTreeMap<ClusterId, Duration>,
    nodes: BTreeMap<ClusterId, BTreeMap<Arc<str>, Duration>>,
    /// Where backends are of which no node is told. No two overlap.
    ranges: BTreeMap<IpAddr, (IpNet, Arc<NodeKey>, Duration)>,
    backends: BTreeMap<(ClusterId, IpAddr), Duration>,
    /// Backends that answer no echoes, which means nothing.
    mute: BTreeSet<(ClusterId, IpAddr)>,
}

/// Of whom a backend has nothing been heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    Backend,
    Node,
    Cluster,
}

impl Silent {
    pub(crate) fn cluster(&mut self, cluster: ClusterId, since: Duration) {
        self.clusters.insert(cluster, since);
    }

    /// `nets` are the node's addresses and the ranges of its pods.
    pub(crate) fn node(
        &mut self,
        cluster: ClusterId,
        key: &NodeKey,
        nets: impl IntoIterator<Item = IpNet>,
        since: Duration,
    ) {
        let nodes = self.nodes.entry(cluster).or_default();
        nodes.insert(key.name.as_str().into(), since);
        let key = Arc::new(key.clone());
        for net in nets {
            let entry = (net, key.clone(), since);
            self.ranges.insert(net.network(), entry);
        }
    }

    pub(crate) fn backend(&mut self, cluster: ClusterId, ip: IpAddr, since: Duration) {
        self.backends.insert((cluster, ip), since);
    }

    pub(crate) fn mute(&mut self, cluster: ClusterId, ip: IpAddr) {
        self.mute.insert((cluster, ip));
    }

    pub(super) fn is_mute(&self, cluster: ClusterId, ip: IpAddr) -> bool {
        self.mute.contains(&(cluster, ip))
    }

    /// A cluster's silence tells more than that of one of its nodes, and that more than a backend's.
    pub(super) fn lost(&self, cluster: ClusterId, node: Option<&str>, ip: IpAddr) -> Option<Lost> {
        if self.clusters.contains_key(&cluster) {
            return Some(Lost::Cluster);
        }
        let node = self.node_of(cluster, node, ip).map(|_| Lost::Node);
        let backend = || self.backends.get(&(cluster, ip)).map(|_| Lost::Backend);
        node.or_else(backend)
    }

    /// Who is silent, as people call it, and since when.
    pub(super) fn tell(
        &self,
        lost: Lost,
        (id, cluster): (ClusterId, &str),
        node: Option<&str>,
        ip: IpAddr,
    ) -> Option<(String, Duration)> {
        match lost {
            Lost::Cluster => {
                let since = self.clusters.get(&id)?;
                Some((format!("cluster {cluster}"), *since))
            }
            Lost::Node => {
                let (name, since) = self.node_of(id, node, ip)?;
                Some((format!("node {cluster}/{name}"), since))
            }
            Lost::Backend => {
                let since = self.backends.get(&(id, ip))?;
                Some((format!("there are no news of {cluster}, and it"), *since))
            }
        }
    }

    fn node_of(
        &self,
        cluster: ClusterId,
        node: Option<&str>,
        ip: IpAddr,
    ) -> Option<(&str, Duration)> {
        if let Some(name) = node {
            let (name, since) = self.nodes.get(&cluster)?.get_key_value(name)?;
            return Some((name, *since));
        }
        let (net, key, since) = self.ranges.range(..=ip).next_back()?.1;
        net.contains(&ip).then_some((key.name.as_str(), *since))
    }
}
