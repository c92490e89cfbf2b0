//! Affinity by state, as a table: local and remote backends by state, and what each gets.

use super::*;
use State::{Active as A, Ending as E, NotReady as N, Terminating as T};

type Case<'a> = (Affinity, &'a [State], &'a [State], &'a [u16], &'a [u16]);

const CASES: [Case<'_>; 20] = [
    (Affinity::None, &[A, A], &[A], &[100, 100], &[100]),
    (Affinity::None, &[A, T], &[A, N], &[100, 0], &[100, 0]),
    (Affinity::None, &[T], &[A], &[0], &[100]),
    // None is ready: those on their way out are better than nothing.
    (Affinity::None, &[T, N], &[T, E], &[100, 0], &[100, 0]),
    (Affinity::None, &[N], &[E], &[0], &[0]),
    (Affinity::None, &[], &[A], &[], &[100]),
    (Affinity::Local, &[A, A], &[A], &[100, 100], &[0]),
    (Affinity::Local, &[A, T, N], &[A], &[100, 0, 0], &[0]),
    (Affinity::Local, &[N, E], &[A], &[0, 0], &[100]),
    (Affinity::Local, &[T], &[A], &[0], &[100]),
    // What is left here goes on together with what is left there.
    (Affinity::Local, &[T], &[T], &[100], &[100]),
    (Affinity::Local, &[T], &[N], &[100], &[0]),
    (Affinity::Local, &[], &[A, A], &[], &[100, 100]),
    (Affinity::Remote, &[A], &[A, A], &[0], &[100, 100]),
    (Affinity::Remote, &[A], &[N], &[100], &[0]),
    (Affinity::Remote, &[A], &[T], &[0], &[100]),
    (Affinity::Remote, &[A], &[], &[100], &[]),
    (Affinity::Remote, &[T], &[], &[100], &[]),
    (Affinity::Remote, &[T, N], &[N], &[100, 0], &[0]),
    (Affinity::Remote, &[], &[A, E], &[], &[100, 0]),
];

fn endpoints(net: &str, states: &[State]) -> Vec<(String, State)> {
    let each = states.iter().enumerate();
    each.map(|(index, state)| (format!("{net}.{}", index + 1), *state))
        .collect()
}

#[test]
fn each_gets_what_the_table_says() {
    for (affinity, local, remote, local_gets, remote_gets) in CASES {
        let case = format!("{affinity}: {local:?} here, {remote:?} there");
        let mut bench = Bench::ready();
        bench.define("web", definition("10.96.0.10", global(affinity)));
        for (source, cluster, net, states) in [
            (OWN, "c1", "10.1.0", local),
            (SECOND, "c2", "10.2.0", remote),
        ] {
            let endpoints = endpoints(net, states);
            let endpoints: Vec<(&str, State)> = endpoints
                .iter()
                .map(|(ip, state)| (ip.as_str(), *state))
                .collect();
            bench.offer(source, "web-1", offer(cluster, "web", &endpoints));
        }
        let weights: Vec<u16> = bench
            .weights("web")
            .iter()
            .map(|(_, weight, _)| *weight)
            .collect();
        assert_eq!(weights, [local_gets, remote_gets].concat(), "{case}");
        let shares: f64 = bench.view("web").backends.iter().map(|it| it.share).sum();
        let expected = if weights.iter().any(|weight| *weight > 0) {
            1.0
        } else {
            0.0
        };
        assert!((shares - expected).abs() < 1e-9, "{case}: {shares}");
    }
}

#[test]
fn every_backend_says_why() {
    let mut bench = Bench::ready();
    bench.define("web", definition("10.96.0.10", global(Affinity::Local)));
    bench.offer(
        OWN,
        "web-1",
        offer(
            "c1",
            "web",
            &[("10.1.0.1", A), ("10.1.0.2", T), ("10.1.0.3", N)],
        ),
    );
    bench.offer(
        SECOND,
        "web-1",
        offer("c2", "web", &[("10.2.0.1", A), ("10.2.0.2", E)]),
    );
    let said: Vec<String> = bench
        .weights("web")
        .into_iter()
        .map(|(_, _, reason)| reason)
        .collect();
    assert_eq!(
        said,
        [
            "ready",
            "on its way out: keeps its connections, gets no new ones",
            "not ready",
            "affinity local: this cluster has ready backends",
            "on its way out and not serving: gets no new connections",
        ]
    );
}

#[test]
fn a_turn_never_passes_through_nothing() {
    let mut bench = Bench::ready();
    bench.define("web", definition("10.96.0.10", global(Affinity::Local)));
    bench.offer(
        OWN,
        "web-1",
        offer("c1", "web", &[("10.1.0.1", A), ("10.1.0.2", A)]),
    );
    bench.offer(
        SECOND,
        "web-1",
        offer("c2", "web", &[("10.2.0.1", A), ("10.2.0.2", A)]),
    );
    let mut tables = bench.kernel.tables.clone();
    for states in [[N, N], [A, A], [T, T], [E, A]] {
        bench.kernel.log.clear();
        let endpoints = [("10.1.0.1", states[0]), ("10.1.0.2", states[1])];
        bench.offer(OWN, "web-1", offer("c1", "web", &endpoints));
        for change in &bench.kernel.log {
            tables.apply(change);
            let takes = tables
                .backends
                .values()
                .filter(|path| path.weight > 0)
                .count();
            assert!(takes > 0, "{states:?}: after {change:?}");
        }
    }
}

#[test]
fn sharing_is_of_both_sides() {
    let private = Sharing::default();
    let unshared = Sharing {
        shared: false,
        ..global(Affinity::None)
    };
    // Whether it is shared is for others to mind; what others offer is used if it is global here.
    for (sharing, remote) in [(private, 0), (unshared, 100), (global(Affinity::None), 100)] {
        let mut bench = Bench::ready();
        bench.define("web", definition("10.96.0.10", sharing));
        bench.offer(OWN, "web-1", offer("c1", "web", &[("10.1.0.1", A)]));
        bench.share(SECOND, offer("c2", "web", &[("10.2.0.1", A)]));
        let weights: Vec<u16> = bench
            .weights("web")
            .iter()
            .map(|(_, weight, _)| *weight)
            .collect();
        assert_eq!(weights, [100, remote], "{sharing:?}");
    }
}

#[test]
fn slices_know_better_than_records() {
    let mut bench = Bench::ready();
    bench.define("web", definition("10.96.0.10", global(Affinity::None)));
    bench.share(
        SECOND,
        offer("c2", "web", &[("10.2.0.1", A), ("10.2.0.2", A)]),
    );
    // The first slice of many takes nothing away from the record.
    bench.offer(SECOND, "web-1", offer("c2", "web", &[("10.2.0.1", T)]));
    let weights: Vec<u16> = bench
        .weights("web")
        .iter()
        .map(|(_, weight, _)| *weight)
        .collect();
    assert_eq!(weights, [0, 100]);
    // A record that has dropped it ends nothing while the slice has it.
    bench.share(SECOND, offer("c2", "web", &[("10.2.0.2", A)]));
    assert_eq!(bench.view("web").backends.len(), 2);
    bench.offer(SECOND, "web-1", offer("c2", "web", &[]));
    assert_eq!(bench.view("web").backends.len(), 1);
}

#[test]
fn weights_are_of_slices_and_make_shares() {
    let mut bench = Bench::ready();
    bench.define("web", definition("10.96.0.10", global(Affinity::None)));
    let weighed = |weight, ip| Offer {
        weight,
        ..offer("c1", "web", &[(ip, A)])
    };
    bench.offer(OWN, "web-1", weighed(30, "10.1.0.1"));
    bench.offer(OWN, "web-2", weighed(10, "10.1.0.2"));
    bench.offer(OWN, "web-3", weighed(0, "10.1.0.3"));
    let shares: Vec<f64> = bench
        .view("web")
        .backends
        .iter()
        .map(|it| it.share)
        .collect();
    assert_eq!(shares, [0.75, 0.25, 0.0]);
    bench.offer(OWN, "web-1", weighed(90, "10.1.0.1"));
    assert_eq!(bench.weights("web")[0].1, 90);
    // Zero everywhere: nobody takes what is new.
    for (slice, ip) in [("web-1", "10.1.0.1"), ("web-2", "10.1.0.2")] {
        bench.offer(OWN, slice, weighed(0, ip));
    }
    assert!(
        bench
            .weights("web")
            .iter()
            .all(|(_, weight, _)| *weight == 0)
    );
}

#[test]
fn clients_of_a_node_may_be_kept_there() {
    let mut bench = Bench::ready();
    let own_node = config().node;
    bench.define(
        "web",
        Definition {
            node_only: true,
            ..definition("10.96.0.10", global(Affinity::None))
        },
    );
    let mut mixed = offer("c1", "web", &[("10.1.0.1", A), ("10.1.0.2", A)]);
    if let Some(first) = mixed.endpoints.values_mut().next() {
        first.node = Some(own_node.as_str().into());
    }
    for offered in mixed.endpoints.values_mut().skip(1) {
        offered.node = Some("elsewhere".into());
    }
    bench.offer(OWN, "web-1", mixed);
    // The nodes of another cluster may have the same names.
    bench.share(SECOND, offer("c2", "web", &[("10.2.0.1", A)]));
    let weights: Vec<u16> = bench
        .weights("web")
        .iter()
        .map(|(_, weight, _)| *weight)
        .collect();
    assert_eq!(weights, [100, 0, 0]);
}
