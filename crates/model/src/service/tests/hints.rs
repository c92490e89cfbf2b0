//! Topology hints: for whom the own cluster's endpoints are meant.

use super::*;

/// Address, state, zones and nodes that it is meant for.
type Endpoint<'a> = (&'a str, State, &'a [&'a str], &'a [&'a str]);

const A: State = State::Active;
const T: State = State::Terminating;

fn hinted(endpoints: &[Endpoint<'_>]) -> Offer {
    let states: Vec<(&str, State)> = endpoints
        .iter()
        .map(|(ip, state, ..)| (*ip, *state))
        .collect();
    let mut made = offer("c1", "web", &states);
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    for (ip, _, zones, nodes) in endpoints {
        let ip = ip.parse().expect("an address");
        let hints = Hints {
            zones: names(zones),
            nodes: names(nodes),
        };
        let hints = (hints != Hints::default()).then(|| hints.into());
        made.endpoints.get_mut(&ip).expect("it is there").hints = hints;
    }
    made
}

fn in_zone(zone: Option<&str>) -> Bench {
    let mut bench = Bench::ready();
    bench.tell(Fact::Zone(zone.map(str::to_owned)));
    bench
}

/// Those that get new connections, by the last part of their addresses.
fn used(bench: &Bench) -> String {
    let weights = bench.weights("web").into_iter();
    let used = weights.filter(|(_, weight, _)| *weight > 0);
    let last = |address: &str| {
        let (ip, _) = address.rsplit_once(':')?;
        Some(ip.rsplit_once('.')?.1.to_owned())
    };
    used.filter_map(|(address, _, _)| last(&address)).collect()
}

#[test]
fn hints_are_followed_where_all_ready_ones_have_them() {
    let (one, two, three) = ("10.1.0.1", "10.1.0.2", "10.1.0.3");
    let table: [(&str, &[Endpoint<'_>], &str); 12] = [
        ("no hints", &[(one, A, &[], &[]), (two, A, &[], &[])], "12"),
        (
            "two zones",
            &[(one, A, &["a"], &[]), (two, A, &["b"], &[])],
            "1",
        ),
        (
            "two zones of one",
            &[(one, A, &["b", "a"], &[]), (two, A, &["b"], &[])],
            "1",
        ),
        (
            "one lacks a hint",
            &[(one, A, &["a"], &[]), (two, A, &[], &[])],
            "12",
        ),
        (
            "the one that lacks a hint is not ready",
            &[
                (one, A, &["a"], &[]),
                (two, A, &["b"], &[]),
                (three, State::NotReady, &[], &[]),
            ],
            "1",
        ),
        (
            "none is for this zone",
            &[(one, A, &["b"], &[]), (two, A, &["c"], &[])],
            "12",
        ),
        (
            "ours drains",
            &[(one, T, &["a"], &[]), (two, A, &["b"], &[])],
            "2",
        ),
        (
            "none is ready: all that still answer are the last resort",
            &[(one, T, &["a"], &[]), (two, T, &["b"], &[])],
            "12",
        ),
        (
            "nodes",
            &[(one, A, &[], &["n1"]), (two, A, &[], &["n2"])],
            "1",
        ),
        (
            "nodes before zones",
            &[
                (one, A, &["a"], &["n2"]),
                (two, A, &["a"], &["n1"]),
                (three, A, &["b"], &["n2"]),
            ],
            "2",
        ),
        (
            "none is for this node: zones count",
            &[
                (one, A, &["a"], &["n2"]),
                (two, A, &["a"], &["n3"]),
                (three, A, &["b"], &["n2"]),
            ],
            "12",
        ),
        (
            "one lacks a node: zones count",
            &[
                (one, A, &["a"], &["n1"]),
                (two, A, &["a"], &[]),
                (three, A, &["b"], &["n1"]),
            ],
            "12",
        ),
    ];
    for (what, endpoints, wanted) in table {
        let mut bench = in_zone(Some("a"));
        bench.define("web", definition("10.96.0.10", global(Affinity::None)));
        bench.offer(OWN, "web-1", hinted(endpoints));
        assert_eq!(used(&bench), wanted, "{what}");
        // One after the other, in slices of their own.
        let mut bench = in_zone(Some("a"));
        bench.define("web", definition("10.96.0.10", global(Affinity::None)));
        for (number, endpoint) in endpoints.iter().enumerate() {
            bench.offer(OWN, &format!("web-{number}"), hinted(&[*endpoint]));
        }
        assert_eq!(used(&bench), wanted, "{what}");
    }
}

#[test]
fn those_for_others_say_so_and_keep_what_they_have() {
    let mut bench = in_zone(Some("a"));
    bench.define("web", definition("10.96.0.10", global(Affinity::None)));
    bench.offer(
        OWN,
        "web-1",
        hinted(&[("10.1.0.1", A, &["a"], &[]), ("10.1.0.2", A, &["b"], &[])]),
    );
    let said = bench.weights("web");
    assert_eq!(
        said[1].2,
        "for other zones: this one has ready backends of its own"
    );
    assert_eq!(
        bench.kernel.tables.backends.len(),
        2,
        "it keeps its connections"
    );
    // The node moves; then nobody knows where it is.
    bench.tell(Fact::Zone(Some("b".into())));
    assert_eq!(used(&bench), "2");
    assert_eq!(bench.view("web").conditions, [""; 0]);
    for (zone, why) in [
        (None, "this node has no label topology.kubernetes.io/zone"),
        (
            Some("c"),
            "no ready backend is meant for this node's zone c",
        ),
    ] {
        bench.tell(Fact::Zone(zone.map(str::to_owned)));
        assert_eq!(used(&bench), "12");
        let said = format!("port http/TCP: topology hints are not followed here: {why}");
        assert_eq!(bench.view("web").conditions, [said]);
    }
}

#[test]
fn other_clusters_backends_go_by_affinity_alone() {
    let own = [
        ("10.1.0.1", A, &["a"][..], &[][..]),
        ("10.1.0.2", A, &["b"], &[]),
    ];
    for (affinity, wanted) in [
        (Affinity::None, "18"),
        (Affinity::Local, "1"),
        (Affinity::Remote, "8"),
    ] {
        let mut bench = in_zone(Some("a"));
        bench.define("web", definition("10.96.0.10", global(affinity)));
        bench.offer(OWN, "web-1", hinted(&own));
        // Its zones are called like ours, and are others.
        let mut theirs = offer("c2", "web", &[("10.2.0.8", A)]);
        for offered in theirs.endpoints.values_mut() {
            offered.hints = Some(
                Hints {
                    zones: vec!["b".into()],
                    nodes: Vec::new(),
                }
                .into(),
            );
        }
        bench.offer(SECOND, "web-x", theirs);
        assert_eq!(used(&bench), wanted, "{affinity}");
    }
}

#[test]
fn a_node_that_answers_alone_needs_no_hint() {
    let mut bench = in_zone(Some("a"));
    let mut service = definition("10.96.0.10", global(Affinity::None));
    service.node_only = true;
    bench.define("web", service);
    bench.offer(
        OWN,
        "web-1",
        hinted(&[("10.1.0.1", A, &["b"], &[]), ("10.1.0.2", A, &["a"], &[])]),
    );
    assert_eq!(used(&bench), "12", "both are of this node");
}

#[test]
fn spill_over_counts_all_and_shares_among_those_that_are_meant() {
    let mut bench = in_zone(Some("a"));
    let mut service = definition("10.96.0.10", global(Affinity::Local));
    let spill = (
        "service.tombolo.io/spill-over".to_owned(),
        "true".to_owned(),
    );
    (service.grades, _) = Grades::read(&[spill].into(), &service.sharing);
    bench.define("web", service);
    let states: [Endpoint<'_>; 4] = [
        ("10.1.0.1", A, &["a"], &[]),
        ("10.1.0.2", A, &["b"], &[]),
        ("10.1.0.3", State::NotReady, &["a"], &[]),
        ("10.1.0.4", State::NotReady, &["b"], &[]),
    ];
    bench.offer(OWN, "web-1", hinted(&states));
    bench.share(
        SECOND,
        offer("c2", "web", &[("10.2.0.8", A), ("10.2.0.9", A)]),
    );
    let shares: Vec<(String, u32)> = bench
        .view("web")
        .backends
        .iter()
        .map(|it| (it.address.clone(), (it.share * 100.0).round() as u32))
        .collect();
    // Half of the own cluster is able: the one that is meant for this zone takes all of that half.
    let wanted = [
        ("10.1.0.1:8080", 50),
        ("10.1.0.2:8080", 0),
        ("10.1.0.3:8080", 0),
        ("10.1.0.4:8080", 0),
        ("10.2.0.8:8080", 25),
        ("10.2.0.9:8080", 25),
    ];
    assert_eq!(shares, wanted.map(|(ip, share)| (ip.to_owned(), share)));
}
