//! What a node is told of its own cluster by its cluster's own store.

use super::*;

const OWN: Source = Source::Cluster(ClusterId(1));

fn node_of(cluster: &str, name: &str, node: Node) -> Fact {
    let source = Source::Cluster(node.cluster_id);
    Fact::Node(source, Event::Upsert(key(cluster, name), node))
}

fn pod_of(source: Source, address: &str, identity: u32, host: &str) -> Fact {
    let key = AddressKey {
        prefix: address.parse().unwrap(),
        owner: source.to_string(),
    };
    let address = Address {
        identity: Identity(identity),
        host: host.parse().unwrap(),
    };
    Fact::Address(source, Event::Upsert(key, address))
}

fn own_synced() -> Bench {
    let sources = vec![OWN];
    let mut bench = Bench::new(Config {
        sources,
        ..config()
    });
    for event in [Event::Restart, Event::Synced] {
        bench.tell(Fact::Node(OWN, event)).unwrap();
    }
    for event in [Event::Restart, Event::Synced] {
        bench.tell(Fact::Address(OWN, event)).unwrap();
    }
    assert!(bench.world.synced());
    bench
}

#[test]
fn local_knowledge_wins_over_what_the_store_says_of_this_node() {
    let mut bench = own_synced();
    bench.tell(reserve("p1")).unwrap();
    bench.tell(attach("p1", 5)).unwrap();
    let before = bench.kernel.tables.clone();
    let local = bench.reach("10.1.1.2/32");
    assert!(matches!(
        local.map(|reach| reach.place),
        Some(Place::Local(_))
    ));

    let facts = [
        node_of("c1", "n1", node(1, &["192.0.2.1"], &["10.1.1.0/24"])),
        // Its health endpoint, the pod as it is, the pod as it was, and a pod that has gone.
        pod_of(OWN, "10.1.1.250/32", 4, "192.0.2.1"),
        pod_of(OWN, "10.1.1.2/32", 0x1_0200, "192.0.2.1"),
        pod_of(OWN, "10.1.1.2/32", 0x1_0300, "192.0.2.1"),
        pod_of(OWN, "10.1.1.77/32", 0x1_0200, "192.0.2.1"),
    ];
    for fact in facts {
        bench.tell(fact).unwrap();
        assert_eq!(bench.kernel.tables, before);
    }
    assert!(bench.world.rejected().is_empty());
    assert_eq!(bench.world.status().warnings, [""; 0]);
    bench.tell(delete("p1")).unwrap();
    assert_eq!(bench.reach("10.1.1.2/32"), None);
}

#[test]
fn pods_of_other_nodes_of_the_own_cluster_are_reached_there() {
    let mut bench = own_synced();
    let other = node(1, &["192.0.2.9"], &["10.1.2.0/24"]);
    bench.tell(node_of("c1", "n2", other)).unwrap();
    bench
        .tell(pod_of(OWN, "10.1.2.5/32", 0x1_0300, "192.0.2.9"))
        .unwrap();
    assert_eq!(bench.reach("10.1.2.5/32"), remote(Identity(0x1_0300), 1));
    bench
        .tell(pod_of(OWN, "10.1.2.6/32", 0x2_0300, "192.0.2.9"))
        .unwrap();
    assert_eq!(bench.rejected("identity-of-other-cluster"), 1);
}

#[test]
fn the_own_store_is_believed_before_those_of_other_clusters() {
    let theirs = Source::Cluster(ClusterId(2));
    for order in [[OWN, theirs], [theirs, OWN]] {
        let mut bench = own_synced();
        let other = node(1, &["192.0.2.9"], &["10.1.2.0/24"]);
        bench.tell(node_of("c1", "n2", other)).unwrap();
        let foreign = node(2, &["192.0.2.8"], &["10.2.2.0/24"]);
        bench.tell(node_of("c2", "n1", foreign)).unwrap();
        for source in order {
            let fact = match source == OWN {
                true => pod_of(source, "10.1.2.5/32", 0x1_0300, "192.0.2.9"),
                false => pod_of(source, "10.1.2.5/32", 0x2_0300, "192.0.2.8"),
            };
            bench.tell(fact).unwrap();
        }
        let reach = bench.reach("10.1.2.5/32").map(|reach| reach.identity);
        assert_eq!(reach, Some(Identity(0x1_0300)));
    }
}
