//! Backends where nobody answers: what they get, what is said of them, and whom to ask.

use super::*;
use crate::{
    fact::{Node, NodeKey},
    health::{Silence, Target, Unanswered},
};

fn key(cluster: &str, name: &str) -> NodeKey {
    NodeKey {
        cluster: cluster.into(),
        name: name.into(),
    }
}

fn node(cluster: u16, number: u8) -> Node {
    let net = |text: String| text.parse().expect("a range");
    Node {
        cluster_id: ClusterId(cluster),
        addresses: vec![[172, 18, cluster as u8, number].into()],
        pod_ranges: vec![net(format!("10.{cluster}.{number}.0/24"))],
    }
}

/// Two clusters, the second with two nodes, and a service that is global.
fn meshed(affinity: Affinity) -> Bench {
    let mut bench = Bench::ready();
    for number in [1, 2] {
        let key = key("c2", &format!("n{number}"));
        bench.tell(Fact::Node(SECOND, Event::Upsert(key, node(2, number))));
    }
    bench.define("web", definition("10.96.0.10", global(affinity)));
    bench
}

fn with_backends(affinity: Affinity) -> Bench {
    let mut bench = meshed(affinity);
    bench.offer(
        OWN,
        "web-1",
        offer("c1", "web", &[("10.1.0.7", State::Active)]),
    );
    // Of the first node it is told, of the second one not.
    bench.offer(
        SECOND,
        "web-2",
        offer("c2", "web", &[("10.2.1.7", State::Active)]),
    );
    bench.share(SECOND, offer_without_node("10.2.2.7"));
    bench
}

fn offer_without_node(ip: &str) -> Offer {
    let mut offer = offer("c2", "web", &[(ip, State::Active)]);
    for offered in offer.endpoints.values_mut() {
        offered.node = None;
    }
    offer
}

fn silent_nodes(names: &[&str]) -> Fact {
    let nodes = names.iter().map(|name| (key("c2", name), T0));
    Fact::Silent(Silence {
        nodes: nodes.collect(),
        ..Silence::default()
    })
}

fn silent_cluster() -> Fact {
    Fact::Silent(Silence {
        clusters: [(ClusterId(2), T0)].into(),
        ..Silence::default()
    })
}

fn gets(bench: &Bench) -> Vec<u16> {
    let weights = bench.weights("web").into_iter();
    weights.map(|(_, weight, _)| weight).collect()
}

#[test]
fn a_node_that_is_silent_gets_nothing_new_and_loses_what_it_has() {
    let mut bench = with_backends(Affinity::None);
    assert_eq!(gets(&bench), [100, 100, 100]);
    for (nodes, expected) in [
        (&["n1"][..], [100, 0, 100]),
        (&["n2"], [100, 100, 0]),
        (&["n1", "n2"], [100, 0, 0]),
        (&[], [100, 100, 100]),
    ] {
        bench.tell(silent_nodes(nodes));
        assert_eq!(gets(&bench), expected, "{nodes:?}");
        for path in bench.kernel.tables.backends.values() {
            assert_eq!(path.lost, path.weight == 0, "{nodes:?}");
        }
    }
}

#[test]
fn who_is_silent_is_named_and_for_how_long() {
    let mut bench = with_backends(Affinity::None);
    bench.tell(silent_nodes(&["n1", "n2"]));
    let now = Duration::from_millis(2400);
    let view = bench.world.service(&name("web"), now).expect("the service");
    let said: Vec<_> = view.backends.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!(
        said,
        [
            "ready",
            "node c2/n1 has not answered for 2.4 s",
            "node c2/n2 has not answered for 2.4 s",
        ]
    );
    assert_eq!(view.backends[1].silent_seconds, Some(2.4));
    bench.tell(silent_cluster());
    let view = bench.world.service(&name("web"), now).expect("the service");
    let said = &view.backends[2].reason;
    assert_eq!(said, "cluster c2 has not answered for 2.4 s");
}

#[test]
fn silence_counts_for_affinity() {
    let mut bench = with_backends(Affinity::Remote);
    assert_eq!(gets(&bench), [0, 100, 100]);
    bench.tell(silent_nodes(&["n1"]));
    assert_eq!(gets(&bench), [0, 0, 100]);
    bench.tell(silent_cluster());
    assert_eq!(gets(&bench), [100, 0, 0]);
    bench.tell(silent_nodes(&[]));
    assert_eq!(gets(&bench), [0, 100, 100]);
}

#[test]
fn where_no_other_is_left_the_silent_ones_stay() {
    let mut bench = with_backends(Affinity::Local);
    bench.tell(silent_cluster());
    assert_eq!(gets(&bench), [100, 0, 0]);
    bench.tell(Fact::Slice(OWN, Event::Delete(name("web-1"))));
    assert_eq!(gets(&bench), [100, 100]);
    let reason = &bench.view("web").backends[0].reason;
    assert_eq!(
        reason,
        "cluster c2 has not answered for 0.0 s, but no other backend is left"
    );
    let paths = bench.kernel.tables.backends.values();
    assert!(
        paths.clone().all(|path| !path.lost),
        "they keep what they have"
    );
    bench.offer(
        OWN,
        "web-1",
        offer("c1", "web", &[("10.1.0.8", State::Active)]),
    );
    assert_eq!(gets(&bench), [100, 0, 0]);
}

#[test]
fn what_comes_of_a_silent_node_gets_nothing_either() {
    let mut bench = meshed(Affinity::None);
    bench.tell(silent_nodes(&["n1", "n2"]));
    bench.offer(
        OWN,
        "web-1",
        offer("c1", "web", &[("10.1.0.7", State::Active)]),
    );
    bench.share(SECOND, offer_without_node("10.2.2.7"));
    assert_eq!(gets(&bench), [100, 0]);
}

#[test]
fn a_node_may_be_silent_before_it_is_known() {
    let mut bench = Bench::ready();
    bench.tell(silent_nodes(&["n2"]));
    bench.define("web", definition("10.96.0.10", global(Affinity::None)));
    bench.offer(
        OWN,
        "web-1",
        offer("c1", "web", &[("10.1.0.7", State::Active)]),
    );
    bench.share(SECOND, offer_without_node("10.2.2.7"));
    assert_eq!(gets(&bench), [100, 100]);
    bench.tell(Fact::Node(
        SECOND,
        Event::Upsert(key("c2", "n2"), node(2, 2)),
    ));
    assert_eq!(gets(&bench), [100, 0]);
}

fn targets(bench: &mut Bench) -> Option<Vec<Target>> {
    bench.world.take_aim().map(|aim| aim.nodes)
}

#[test]
fn nodes_of_backends_that_are_used_are_asked_and_no_others() {
    let mut bench = meshed(Affinity::None);
    assert_eq!(targets(&mut bench), Some(Vec::new()));
    assert_eq!(targets(&mut bench), None);
    let target = |number: u8| Target {
        node: key("c2", &format!("n{number}")),
        cluster: ClusterId(2),
        address: [10, 2, number, 1].into(),
    };
    bench.share(SECOND, offer_without_node("10.2.2.7"));
    assert_eq!(targets(&mut bench), Some(vec![target(2)]));
    bench.offer(
        SECOND,
        "web-2",
        offer("c2", "web", &[("10.2.1.7", State::Active)]),
    );
    assert_eq!(targets(&mut bench), Some(vec![target(1), target(2)]));
    // Of a backend that can't be placed all of its cluster may be the node.
    bench.offer(
        SECOND,
        "web-2",
        offer("c2", "web", &[("10.2.1.7", State::Terminating)]),
    );
    bench.share(SECOND, offer_without_node("10.99.0.1"));
    assert_eq!(targets(&mut bench), Some(vec![target(1), target(2)]));
    bench.define("web", definition("10.96.0.10", Sharing::default()));
    assert_eq!(targets(&mut bench), Some(Vec::new()));
}

#[test]
fn the_other_nodes_of_the_cluster_are_those_to_talk_to() {
    let mut bench = meshed(Affinity::None);
    let peers = |bench: &mut Bench| bench.world.take_aim().map(|aim| aim.peers);
    assert_eq!(peers(&mut bench), Some(Vec::new()));
    let own = bench.world.config().node.clone();
    for (name, number) in [(own.as_str(), 7), ("n8", 8)] {
        let told = Event::Upsert(key("c1", name), node(1, number));
        bench.tell(Fact::Node(OWN, told));
    }
    assert_eq!(peers(&mut bench), Some(vec![[10, 1, 8, 1].into()]));
    bench.tell(Fact::Node(OWN, Event::Delete(key("c1", "n8"))));
    assert_eq!(peers(&mut bench), Some(Vec::new()));
}

fn silent_backend(ip: [u8; 4], is_believed: bool) -> Fact {
    let unanswered = Unanswered {
        since: T0,
        is_believed,
    };
    Fact::Silent(Silence {
        backends: [((ClusterId(2), ip.into()), unanswered)].into(),
        ..Silence::default()
    })
}

const FIRST: [u8; 4] = [10, 2, 1, 7];

#[test]
fn a_backend_that_is_silent_is_out_only_while_there_are_no_news_of_its_cluster() {
    let no_news = |is_stale| Fact::Stale(ClusterId(2), is_stale);
    let mut bench = with_backends(Affinity::None);
    let now = Duration::from_millis(2400);
    let mute = "ready; it does not answer echoes, but the news of c2 decide";
    let out = "there are no news of c2, and it has not answered for 2.4 s";
    for (fact, weights, said) in [
        (silent_backend(FIRST, false), [100, 100, 100], mute),
        (no_news(true), [100, 100, 100], mute),
        (silent_backend(FIRST, true), [100, 0, 100], out),
        // What is heard counts at once, and goes on to count.
        (no_news(false), [100, 100, 100], mute),
        (no_news(true), [100, 100, 100], mute),
        (silent_backend(FIRST, true), [100, 0, 100], out),
        (silent_nodes(&[]), [100, 100, 100], "ready"),
    ] {
        bench.tell(fact.clone());
        assert_eq!(gets(&bench), weights, "{fact:?}");
        for path in bench.kernel.tables.backends.values() {
            assert_eq!(path.lost, path.weight == 0, "{fact:?}");
        }
        let view = bench.world.service(&name("web"), now).expect("the service");
        let told = &view.backends[1];
        assert_eq!(told.reason, said, "{fact:?}");
        assert_eq!(told.silent_seconds.is_some(), weights[1] == 0, "{fact:?}");
    }
}

#[test]
fn a_cluster_that_is_awaited_tells_no_news_either() {
    let mut bench = with_backends(Affinity::None);
    bench.tell(Fact::Awaited([("c2".into(), Some(ClusterId(2)))].into()));
    bench.tell(silent_backend(FIRST, true));
    assert_eq!(gets(&bench), [100, 0, 100]);
    bench.tell(Fact::Awaited(BTreeMap::new()));
    assert_eq!(gets(&bench), [100, 100, 100]);
}

#[test]
fn a_silent_backend_stays_where_no_other_is_left() {
    let mut bench = with_backends(Affinity::Remote);
    bench.tell(Fact::Stale(ClusterId(2), true));
    bench.tell(silent_backend(FIRST, true));
    assert_eq!(gets(&bench), [0, 0, 100]);
    bench.tell(Fact::Slice(OWN, Event::Delete(name("web-1"))));
    bench.tell(Fact::Shared(SECOND, Event::Delete(name("web"))));
    assert_eq!(gets(&bench), [100]);
    let reason = &bench.view("web").backends[0].reason;
    let said =
        "there are no news of c2, and it has not answered for 0.0 s, but no other backend is left";
    assert_eq!(reason, said);
    let mut paths = bench.kernel.tables.backends.values();
    assert!(paths.all(|path| !path.lost), "it keeps what it has");
}

#[test]
fn pods_that_are_ready_are_asked_and_what_is_on_its_way_out_is_not() {
    let mut bench = meshed(Affinity::None);
    let pods = |bench: &mut Bench| {
        let aim = bench.world.take_aim();
        aim.map(|aim| aim.backends.iter().map(|it| it.address).collect::<Vec<_>>())
    };
    let slice = |ips: &[(&str, State)]| offer("c2", "web", ips);
    for (ips, expected) in [
        (&[("10.2.1.7", State::Active)][..], &[FIRST][..]),
        (&[("10.2.1.7", State::Terminating)], &[]),
        (&[("10.2.1.7", State::NotReady)], &[]),
        // The node itself, on whose network it is.
        (&[("172.18.2.1", State::Active)], &[]),
        (
            &[("172.18.2.1", State::Active), ("10.2.1.7", State::Active)],
            &[FIRST],
        ),
    ] {
        bench.offer(SECOND, "web-2", slice(ips));
        let expected = expected.iter().map(|ip| IpAddr::from(*ip)).collect();
        assert_eq!(pods(&mut bench), Some(expected), "{ips:?}");
    }
    // The own cluster's are Kubernetes' affair, and where nobody knows a node nobody is asked.
    bench.offer(
        OWN,
        "web-1",
        offer("c1", "web", &[("10.1.0.7", State::Active)]),
    );
    bench.share(SECOND, offer_without_node("10.99.0.1"));
    assert_eq!(pods(&mut bench), Some(vec![FIRST.into()]));
}

#[test]
fn the_asker_is_told_of_which_clusters_there_are_no_news() {
    let mut bench = meshed(Affinity::None);
    let stale = |bench: &mut Bench| bench.world.take_aim().map(|aim| aim.stale);
    assert_eq!(stale(&mut bench), Some(BTreeMap::new()));
    bench.tell(Fact::Stale(ClusterId(2), true));
    assert_eq!(stale(&mut bench), Some([(ClusterId(2), T0)].into()));
    assert_eq!(stale(&mut bench), None);
    bench.tell(Fact::Stale(ClusterId(2), false));
    assert_eq!(stale(&mut bench), Some(BTreeMap::new()));
}
