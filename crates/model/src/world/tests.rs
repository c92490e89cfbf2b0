use super::*;
use crate::{
    change::{Direction, Place, PolicyEntry, Reach, Verdict},
    config::tests::config,
    drive::{Recorder, step, wake},
    id::{ClusterId, Identity, NodeSlot},
    local::{EndpointState, FailureCode, PodName},
};
use std::net::IpAddr;

mod awaited;
mod endpoint;
mod own;
mod random;
mod recovery;

const T0: Duration = Duration::ZERO;

struct Bench {
    world: World,
    kernel: Recorder,
}

impl Bench {
    fn new(config: Config) -> Bench {
        let mut bench = Bench {
            world: World::new(config).unwrap(),
            kernel: Recorder::default(),
        };
        wake(&mut bench.world, &mut bench.kernel, T0);
        bench
    }

    fn tell(&mut self, fact: Fact) -> Result<Answer, Failure> {
        let step = step(&mut self.world, &mut self.kernel, fact, T0);
        assert_eq!(step.refused, []);
        assert_eq!(self.kernel.tables, self.world.desired());
        step.answer
    }

    fn reach(&self, prefix: &str) -> Option<Reach> {
        self.kernel
            .tables
            .addresses
            .get(&prefix.parse().unwrap())
            .copied()
    }

    fn slot(&self, address: &str) -> Option<NodeSlot> {
        let address: IpAddr = address.parse().unwrap();
        self.kernel
            .tables
            .nodes
            .iter()
            .find(|(_, path)| path.address == address)
            .map(|(slot, _)| *slot)
    }

    fn rejected(&self, label: &str) -> u64 {
        self.world
            .rejected()
            .get(label)
            .copied()
            .unwrap_or_default()
    }
}

fn synced() -> Vec<Fact> {
    vec![
        Fact::Node(Source::File, Event::Restart),
        Fact::Node(Source::File, Event::Synced),
        Fact::Address(Source::File, Event::Restart),
        Fact::Address(Source::File, Event::Synced),
    ]
}

fn bench() -> Bench {
    let mut bench = Bench::new(config());
    for fact in synced() {
        bench.tell(fact).unwrap();
    }
    bench
}

fn key(cluster: &str, name: &str) -> NodeKey {
    NodeKey {
        cluster: cluster.into(),
        name: name.into(),
    }
}

fn node(cluster_id: u16, addresses: &[&str], pod_ranges: &[&str]) -> Node {
    Node {
        cluster_id: ClusterId(cluster_id),
        addresses: addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect(),
        pod_ranges: pod_ranges
            .iter()
            .map(|range| range.parse().unwrap())
            .collect(),
    }
}

fn node_fact(cluster: &str, name: &str, node: Node) -> Fact {
    Fact::Node(Source::File, Event::Upsert(key(cluster, name), node))
}

fn node_gone(cluster: &str, name: &str) -> Fact {
    Fact::Node(Source::File, Event::Delete(key(cluster, name)))
}

fn pod_fact(address: &str, owner: &str, identity: u32, host: &str) -> Fact {
    let key = AddressKey {
        prefix: address.parse().unwrap(),
        owner: owner.into(),
    };
    Fact::Address(
        Source::File,
        Event::Upsert(
            key,
            Address {
                identity: Identity(identity),
                host: host.parse().unwrap(),
            },
        ),
    )
}

fn attachment(container: &str) -> Attachment {
    Attachment {
        container: container.into(),
        interface: "eth0".into(),
    }
}

fn reserve(container: &str) -> Fact {
    Fact::Endpoint(EndpointFact::Reserve {
        attachment: attachment(container),
        netns: "/run/netns/x".into(),
        pod: PodName::default(),
        identity: Some(Identity(0x1_0200)),
    })
}

fn attach(container: &str, ifindex: u32) -> Fact {
    Fact::Endpoint(EndpointFact::Attach {
        attachment: attachment(container),
        ifindex,
        mac: Mac([2, 0, 0, 0, 0, ifindex as u8]),
    })
}

fn delete(container: &str) -> Fact {
    Fact::Endpoint(EndpointFact::Delete {
        attachment: attachment(container),
    })
}

fn rules(id: u16, entries: Vec<PolicyEntry>) -> Fact {
    Fact::Endpoint(EndpointFact::Rules {
        endpoint: EndpointId(id),
        entries,
    })
}

const NOWHERE: Option<Reach> = Some(Reach {
    identity: Identity::UNKNOWN,
    place: Place::Nowhere,
});
const HOST: Option<Reach> = Some(Reach {
    identity: Identity::HOST,
    place: Place::Host,
});
const WORLD: Option<Reach> = Some(Reach {
    identity: Identity::WORLD,
    place: Place::World,
});

fn remote(identity: Identity, slot: u16) -> Option<Reach> {
    Some(Reach {
        identity,
        place: Place::Remote(NodeSlot(slot)),
    })
}

#[test]
fn a_node_alone_knows_itself_and_the_world() {
    let bench = bench();
    let expected = [
        ("0.0.0.0/0", WORLD),
        ("::/0", WORLD),
        ("10.1.1.0/24", NOWHERE),
        ("10.1.1.1/32", HOST),
        ("192.0.2.1/32", HOST),
        ("fd00:10:1:1::/64", NOWHERE),
        ("fd00:10:1:1::1/128", HOST),
        ("fd00:2::1/128", HOST),
    ];
    for (prefix, reach) in expected {
        assert_eq!(bench.reach(prefix), reach, "{prefix}");
    }
    assert_eq!(bench.kernel.tables.addresses.len(), expected.len());
    assert_eq!(bench.kernel.tables.routes.len(), 2);
    // A pod range is known before the world around it, so that nothing for pods leaves for the world.
    let place =
        |wanted: &str| {
            let wanted: IpNet = wanted.parse().unwrap();
            bench.kernel.log.iter().position(
                |change| matches!(change, Change::AddressSet(prefix, _) if *prefix == wanted),
            )
        };
    assert!(place("10.1.1.0/24") < place("0.0.0.0/0"));
}

#[test]
fn pods_of_an_unknown_node_are_nowhere_until_it_is_known() {
    let mut bench = bench();
    bench
        .tell(pod_fact("10.2.1.5/32", "a", 0x2_0100, "192.0.2.2"))
        .unwrap();
    assert_eq!(bench.reach("10.2.1.5/32"), NOWHERE);
    bench
        .tell(node_fact(
            "c2",
            "n1",
            node(2, &["192.0.2.2", "fd00:2::2"], &["10.2.1.0/24"]),
        ))
        .unwrap();
    assert_eq!(bench.reach("10.2.1.5/32"), remote(Identity(0x2_0100), 1));
    assert_eq!(
        bench.reach("192.0.2.2/32"),
        remote(Identity::REMOTE_NODE, 1)
    );
    assert_eq!(
        bench.reach("fd00:2::2/128"),
        remote(Identity::REMOTE_NODE, 1)
    );
    assert_eq!(bench.reach("10.2.1.0/24"), NOWHERE);
    assert!(
        bench
            .kernel
            .tables
            .routes
            .contains(&"10.2.1.0/24".parse().unwrap())
    );
    bench.tell(node_gone("c2", "n1")).unwrap();
    assert_eq!(bench.reach("10.2.1.5/32"), NOWHERE);
    assert_eq!(bench.reach("192.0.2.2/32"), None);
    assert!(bench.kernel.tables.nodes.is_empty());
    assert!(
        matches!(bench.kernel.log.last(), Some(Change::NodeGone(_))),
        "addresses leave the slot before it goes"
    );
}

#[test]
fn a_nodes_own_address_among_pods_leads_to_it_unless_a_pod_has_it() {
    let mut bench = bench();
    let far = || node_fact("c2", "n1", node(2, &["192.0.2.2"], &["10.2.1.0/24"]));
    bench.tell(far()).unwrap();
    assert_eq!(bench.reach("10.2.1.1/32"), remote(Identity::REMOTE_NODE, 1));
    bench
        .tell(pod_fact("10.2.1.1/32", "a", 0x2_0100, "192.0.2.2"))
        .unwrap();
    assert_eq!(bench.reach("10.2.1.1/32"), remote(Identity(0x2_0100), 1));
    bench.tell(node_gone("c2", "n1")).unwrap();
    assert_eq!(bench.reach("10.2.1.1/32"), NOWHERE);
}

#[test]
fn conflicting_records_reject_only_themselves() {
    let cases = [
        (
            node_fact("c2", "n2", node(2, &["192.0.2.9"], &["10.2.1.128/25"])),
            "range-overlaps",
        ),
        (
            node_fact("c2", "n2", node(2, &["192.0.2.9"], &["10.2.1.0/25"])),
            "range-overlaps",
        ),
        (
            node_fact("c2", "n2", node(2, &["192.0.2.9"], &["10.2.1.0/23"])),
            "range-overlaps",
        ),
        (
            node_fact("c2", "n2", node(2, &["192.0.2.9"], &["10.2.0.0/16"])),
            "range-overlaps",
        ),
        (
            node_fact("c2", "n2", node(2, &["192.0.2.9"], &["10.1.0.0/16"])),
            "range-overlaps-own",
        ),
        (
            node_fact("c2", "n2", node(2, &["192.0.2.9"], &["192.0.2.0/30"])),
            "range-covers-node",
        ),
        (
            node_fact("c2", "n2", node(2, &["192.0.2.9"], &["192.0.2.8/30"])),
            "range-covers-node",
        ),
        (
            node_fact("c2", "n2", node(2, &["192.0.2.2"], &[])),
            "address-taken",
        ),
        (
            node_fact("c2", "n2", node(2, &["192.0.2.1"], &[])),
            "address-taken",
        ),
        (
            node_fact("c2", "n2", node(2, &["10.2.1.7"], &[])),
            "address-in-pod-range",
        ),
        (
            node_fact("c2", "n2", node(2, &["224.0.0.1"], &[])),
            "address-unusable",
        ),
        (node_fact("c2", "n2", node(2, &[], &[])), "no-address"),
        (
            node_fact("c3", "n2", node(2, &["192.0.2.9"], &[])),
            "cluster-id-taken",
        ),
        (
            node_fact("c3", "n2", node(1, &["192.0.2.9"], &[])),
            "cluster-id-taken",
        ),
        (
            node_fact("c1", "n2", node(2, &["192.0.2.9"], &[])),
            "cluster-id-taken",
        ),
        (
            node_fact("c3", "n2", node(0, &["192.0.2.9"], &[])),
            "cluster-id-invalid",
        ),
        (
            node_fact("c3", "n2", node(256, &["192.0.2.9"], &[])),
            "cluster-id-invalid",
        ),
        (
            node_fact("C3", "n2", node(3, &["192.0.2.9"], &[])),
            "name-invalid",
        ),
        (
            node_fact("c3", &"n".repeat(254), node(3, &["192.0.2.9"], &[])),
            "name-invalid",
        ),
        (
            pod_fact("10.2.1.6/32", "b", 0x3_0100, "192.0.2.2"),
            "identity-of-other-cluster",
        ),
        (
            pod_fact("10.2.1.6/32", "b", 1, "192.0.2.2"),
            "identity-invalid",
        ),
        (
            pod_fact("10.2.1.6/32", "b", 0x102_0100, "192.0.2.2"),
            "identity-invalid",
        ),
        (
            pod_fact("10.1.1.6/32", "b", 0x2_0100, "192.0.2.2"),
            "address-in-pod-range",
        ),
        (
            pod_fact("0.0.0.0/0", "b", 0x2_0100, "192.0.2.2"),
            "address-unusable",
        ),
        (
            pod_fact("192.0.2.1/32", "b", 0x2_0100, "192.0.2.2"),
            "address-taken",
        ),
    ];
    for (fact, label) in cases {
        let mut bench = bench();
        bench
            .tell(node_fact(
                "c2",
                "n1",
                node(2, &["192.0.2.2"], &["10.2.1.0/24"]),
            ))
            .unwrap();
        bench
            .tell(pod_fact("10.2.1.5/32", "a", 0x2_0100, "192.0.2.2"))
            .unwrap();
        let before = bench.kernel.tables.clone();
        bench.tell(fact.clone()).unwrap();
        assert_eq!(bench.kernel.tables, before, "{fact:?}");
        assert_eq!(
            bench.rejected(label),
            1,
            "{fact:?}: {:?}",
            bench.world.rejected()
        );
        for fact in synced() {
            bench.tell(fact).unwrap();
        }
        assert!(bench.world.rejected().is_empty(), "{fact:?}");
    }
}

#[test]
fn a_cluster_without_a_number_has_no_peers() {
    let mut bench = Bench::new(Config {
        cluster_id: ClusterId(0),
        ..config()
    });
    bench
        .tell(node_fact("c2", "n1", node(2, &["192.0.2.2"], &[])))
        .unwrap();
    assert_eq!(bench.rejected("own-cluster-id-zero"), 1);
    bench
        .tell(node_fact(
            "c1",
            "n2",
            node(0, &["192.0.2.2"], &["10.2.1.0/24"]),
        ))
        .unwrap();
    assert!(bench.slot("192.0.2.2").is_some());
}

#[test]
fn a_refused_node_is_believed_when_the_other_goes() {
    let mut bench = bench();
    bench
        .tell(node_fact(
            "c2",
            "old",
            node(2, &["192.0.2.2"], &["10.2.1.0/24"]),
        ))
        .unwrap();
    bench
        .tell(node_fact(
            "c2",
            "new",
            node(2, &["192.0.2.3"], &["10.2.1.0/24"]),
        ))
        .unwrap();
    assert_eq!(bench.slot("192.0.2.3"), None);
    bench.tell(node_gone("c2", "old")).unwrap();
    assert!(bench.slot("192.0.2.3").is_some());
    assert!(bench.world.rejected().is_empty());
}

#[test]
fn a_slot_leads_to_one_address_all_its_life() {
    let mut bench = bench();
    bench
        .tell(node_fact("c2", "n1", node(2, &["192.0.2.2"], &[])))
        .unwrap();
    bench
        .tell(pod_fact("10.2.1.5/32", "a", 0x2_0100, "192.0.2.3"))
        .unwrap();
    bench
        .tell(node_fact(
            "c2",
            "n1",
            node(2, &["192.0.2.2"], &["10.2.1.0/24"]),
        ))
        .unwrap();
    assert_eq!(bench.slot("192.0.2.2"), Some(NodeSlot(1)));
    bench
        .tell(node_fact(
            "c2",
            "n1",
            node(2, &["192.0.2.3"], &["10.2.1.0/24"]),
        ))
        .unwrap();
    assert_eq!(bench.slot("192.0.2.3"), Some(NodeSlot(2)));
    assert_eq!(bench.reach("10.2.1.5/32"), remote(Identity(0x2_0100), 2));
    assert_eq!(bench.kernel.tables.nodes.len(), 1);
}

#[test]
fn a_node_without_a_common_family_is_known_and_not_reached() {
    let mut config = config();
    config.addresses.pop();
    let mut bench = Bench::new(config);
    bench
        .tell(node_fact(
            "c2",
            "n1",
            node(2, &["fd00:2::2"], &["10.2.1.0/24"]),
        ))
        .unwrap();
    bench
        .tell(pod_fact("10.2.1.5/32", "a", 0x2_0100, "fd00:2::2"))
        .unwrap();
    assert_eq!(bench.reach("10.2.1.0/24"), NOWHERE);
    assert_eq!(bench.reach("10.2.1.5/32"), NOWHERE);
    assert_eq!(bench.rejected("no-common-family"), 1);
    assert_eq!(bench.world.nodes()[1].tunnel, None);
}
