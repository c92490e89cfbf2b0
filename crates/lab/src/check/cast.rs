//! Who asks and who is asked, and what answers would be right.

use super::{FAMILIES, Family, PROTOCOLS, Question, Way};
use crate::{
    error::Result,
    facts,
    plan::{self, Fabric, Namespace, NodeId, PodId, pod_ranges},
    state::State,
};
use std::net::IpAddr;
use tombolo_linux::{netlink::Netlink, netns::Netns};

pub struct Actor {
    pub name: String,
    pub netns: Netns,
    /// At most one of each family.
    pub addresses: Vec<IpAddr>,
    pub kind: Kind,
    /// All that it may be seen with, which for a host is more than it is asked at.
    own: Vec<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pod(PodId),
    Host(NodeId),
    World,
}

pub fn assemble(state: &State, all: bool) -> Result<Vec<Actor>> {
    let mut cast = Vec::new();
    for (id, pod) in &state.pods {
        let addresses: Vec<IpAddr> = facts::each(pod.addresses).collect();
        cast.push(Actor {
            name: id.to_string(),
            netns: Netns::open(state.pod_netns(*id)?)?,
            own: addresses.clone(),
            addresses,
            kind: Kind::Pod(*id),
        });
    }
    if !all {
        return Ok(cast);
    }
    for node in state.shape.nodes() {
        let netns = Netns::named(&Namespace::Machine(node.into()).name(&state.name))?;
        let own = Netlink::open_in(&netns)?.addresses(None)?;
        let nets = state.shape.node_addresses(node);
        cast.push(Actor {
            name: node.to_string(),
            own: own.iter().map(|address| address.net.addr()).collect(),
            addresses: nets.iter().map(|net| net.addr()).collect(),
            netns,
            kind: Kind::Host(node),
        });
    }
    if state.shape.fabric == Fabric::Router && state.shape.masquerade {
        let addresses: Vec<IpAddr> = plan::world().gateway.iter().map(|net| net.addr()).collect();
        cast.push(Actor {
            name: "world".into(),
            netns: Netns::named(&Namespace::World.name(&state.name))?,
            own: addresses.clone(),
            addresses,
            kind: Kind::World,
        });
    }
    Ok(cast)
}

pub fn questions(state: &State, cast: &[Actor], all: bool) -> Vec<Question> {
    let mut questions = Vec::new();
    for (from, asker) in cast.iter().enumerate() {
        for (to, asked) in cast.iter().enumerate() {
            let Some(way) = way(asker.kind, asked.kind) else {
                continue;
            };
            if !all && way > Way::AcrossClusters {
                continue;
            }
            for family in FAMILIES {
                let of_family = |address: &&IpAddr| Family::of(**address) == family;
                let sources = sources(state, asker, asked.kind, family);
                let Some(target) = asked.addresses.iter().find(of_family) else {
                    continue;
                };
                // An asker without an address of the family, or a node that has none to lend, has nothing to ask.
                if sources.is_empty() {
                    continue;
                }
                questions.extend(PROTOCOLS.map(|protocol| Question {
                    from,
                    to,
                    way,
                    protocol,
                    target: *target,
                    sources: sources.clone(),
                }));
            }
        }
    }
    questions
}

fn way(from: Kind, to: Kind) -> Option<Way> {
    Some(match (from, to) {
        (Kind::Pod(a), Kind::Pod(b)) if a == b => return None,
        (Kind::Pod(a), Kind::Pod(b)) if a.node == b.node => Way::SameNode,
        (Kind::Pod(a), Kind::Pod(b)) if a.node.cluster == b.node.cluster => Way::AcrossNodes,
        (Kind::Pod(_), Kind::Pod(_)) => Way::AcrossClusters,
        (Kind::Pod(pod), Kind::Host(node)) if pod.node == node => Way::PodToOwnHost,
        (Kind::Pod(_), Kind::Host(_)) => Way::PodToRemoteHost,
        (Kind::Host(node), Kind::Pod(pod)) if pod.node == node => Way::HostToOwnPod,
        (Kind::Host(_), Kind::Pod(_)) => Way::HostToRemotePod,
        (Kind::Pod(_), Kind::World) => Way::PodToWorld,
        _ => return None,
    })
}

/// A pod is always seen as itself, but by the world, which sees its node; a host may choose among its addresses.
fn sources(state: &State, asker: &Actor, asked: Kind, family: Family) -> Vec<IpAddr> {
    let all = match (asker.kind, asked) {
        (Kind::Pod(pod), Kind::World) => {
            let nets = state.shape.node_addresses(pod.node);
            nets.iter().map(|net| net.addr()).collect()
        }
        (Kind::Host(node), Kind::Pod(_)) => {
            let of_pods =
                |address: &IpAddr| pod_ranges(node).iter().any(|range| range.contains(address));
            let known = |address: &&IpAddr| asker.addresses.contains(address) || of_pods(address);
            asker.own.iter().filter(known).copied().collect()
        }
        _ => asker.own.clone(),
    };
    all.into_iter()
        .filter(|address| Family::of(*address) == family)
        .collect::<Vec<_>>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_told_from_places() {
        let pod = |text: &str| Kind::Pod(text.parse().unwrap());
        let host = |text: &str| Kind::Host(text.parse().unwrap());
        let cases = [
            (pod("c1-n1-p1"), pod("c1-n1-p1"), None),
            (pod("c1-n1-p1"), pod("c1-n1-p2"), Some(Way::SameNode)),
            (pod("c1-n1-p1"), pod("c1-n2-p1"), Some(Way::AcrossNodes)),
            (pod("c1-n1-p1"), pod("c2-n1-p1"), Some(Way::AcrossClusters)),
            (pod("c1-n1-p1"), host("c1-n1"), Some(Way::PodToOwnHost)),
            (pod("c1-n1-p1"), host("c2-n1"), Some(Way::PodToRemoteHost)),
            (host("c1-n1"), pod("c1-n1-p1"), Some(Way::HostToOwnPod)),
            (host("c1-n2"), pod("c1-n1-p1"), Some(Way::HostToRemotePod)),
            (pod("c1-n1-p1"), Kind::World, Some(Way::PodToWorld)),
            (Kind::World, pod("c1-n1-p1"), None),
            (host("c1-n1"), host("c1-n2"), None),
        ];
        for (from, to, expected) in cases {
            assert_eq!(way(from, to), expected, "{from:?} {to:?}");
        }
    }
}
