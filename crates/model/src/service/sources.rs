//! Whom load balancers' addresses are for: ranges of clients' addresses, family by family.

use super::merge::Here;
use ipnet::IpNet;
use std::{net::IpAddr, sync::Arc};

/// Ranges that a service admits, none within another. Of a family of which nothing is said nobody is admitted, unless all of
/// the other one are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources(Arc<Families>);

#[derive(Debug, PartialEq, Eq)]
struct Families {
    v4: Arc<[IpNet]>,
    v6: Arc<[IpNet]>,
}

/// Who of this node is not admitted to a frontend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Barred {
    pub pods: bool,
    pub node: bool,
}

impl Sources {
    pub fn new(ranges: impl IntoIterator<Item = IpNet>) -> Sources {
        let ranges: Vec<IpNet> = ranges.into_iter().collect();
        let mut ranges = IpNet::aggregate(&ranges);
        ranges.sort();
        let (v4, v6): (Vec<IpNet>, Vec<IpNet>) =
            ranges.into_iter().partition(|range| range.addr().is_ipv4());
        let families = Families {
            v4: v4.into(),
            v6: v6.into(),
        };
        Sources(families.into())
    }

    /// What clients of an address may be; nothing if they may be anybody.
    pub(super) fn at(&self, ip: IpAddr) -> Option<&Arc<[IpNet]>> {
        let Families { v4, v6 } = &*self.0;
        let (own, other) = if ip.is_ipv4() { (v4, v6) } else { (v6, v4) };
        let is_for_all = is_all(own) || own.is_empty() && is_all(other);
        (!is_for_all).then_some(own)
    }
}

fn is_all(ranges: &[IpNet]) -> bool {
    ranges.iter().any(|range| range.prefix_len() == 0)
}

/// Pods of a node are told apart from others, and not from each other.
pub(super) fn barred(ranges: &[IpNet], here: &Here, is_v4: bool) -> Barred {
    let admits = |net: IpNet| ranges.iter().any(|range| range.contains(&net));
    let mut pods = here.pod_ranges.iter();
    let mut node = here.addresses.iter();
    Barred {
        pods: !pods.any(|range| range.addr().is_ipv4() == is_v4 && admits(*range)),
        node: !node.any(|ip| ip.is_ipv4() == is_v4 && admits((*ip).into())),
    }
}

/// What becomes of ranges that is not what who wrote them may think.
pub(super) fn conditions(sources: &Sources, balancer_ips: &[IpAddr], here: &Here) -> Vec<String> {
    let mut conditions = Vec::new();
    for ip in balancer_ips {
        let Some(ranges) = sources.at(*ip) else {
            continue;
        };
        if ranges.is_empty() {
            let (family, all) = if ip.is_ipv4() {
                ("IPv4", "0.0.0.0/0")
            } else {
                ("IPv6", "::/0")
            };
            conditions.push(format!(
                "loadBalancerSourceRanges has no range of {family}: {ip} is closed to all; give one, or {all} to open it"
            ));
        }
        let pods = here.pod_ranges.iter();
        for pods in pods.filter(|pods| pods.addr().is_ipv4() == ip.is_ipv4()) {
            let is_part = |range: &IpNet| pods.contains(range) && range != pods;
            if ranges.iter().any(is_part) {
                conditions.push(format!(
                    "loadBalancerSourceRanges has some of this node's pods and not all of {pods}: none of them is led to {ip}; \
                     give the whole range, or let them call the ClusterIP"
                ));
            }
        }
    }
    conditions
}
