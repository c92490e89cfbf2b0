//! Clusters in an order, with weights, and with what spills over: shares as tables, and against a naive oracle.

use super::*;
use crate::random::Random;
use State::{Active as A, NotReady as N, Terminating as T};

fn grades(words: Words<'_>, affinity: Affinity) -> (Grades, Vec<String>) {
    let named = words
        .iter()
        .map(|(name, value)| (format!("service.tombolo.io/{name}"), (*value).to_owned()));
    Grades::read(&named.collect(), &global(affinity))
}

fn graded(words: Words<'_>, affinity: Affinity) -> Definition {
    let (grades, problems) = grades(words, affinity);
    assert_eq!(problems, Vec::<String>::new(), "{words:?}");
    Definition {
        grades,
        ..definition("10.96.0.10", global(affinity))
    }
}

/// With the backends of c1, which is the own cluster, of c2 and of c3.
fn bench(definition: Definition, clusters: [&[State]; 3]) -> Bench {
    let mut bench = Bench::ready();
    bench.define("web", definition);
    for (index, states) in clusters.into_iter().enumerate() {
        let source = [OWN, SECOND, THIRD][index];
        let number = index + 1;
        let ips: Vec<String> = (0..states.len())
            .map(|it| format!("10.{number}.{}.{}", it / 200, it % 200))
            .collect();
        let endpoints: Vec<(&str, State)> = ips
            .iter()
            .map(String::as_str)
            .zip(states.iter().copied())
            .collect();
        bench.offer(
            source,
            "web-1",
            offer(&format!("c{number}"), "web", &endpoints),
        );
    }
    assert_eq!(bench.kernel.tables, bench.world.desired());
    bench
}

/// Of each cluster, in percent.
fn shares(bench: &Bench) -> [f64; 3] {
    let mut shares = [0.0; 3];
    let held: BTreeMap<String, u16> = bench
        .kernel
        .tables
        .backends
        .iter()
        .map(|((_, backend), path)| (backend.to_string(), path.weight))
        .collect();
    for backend in bench.view("web").backends {
        let index = ["c1", "c2", "c3"]
            .iter()
            .position(|it| *it == backend.cluster);
        shares[index.expect("a cluster")] += backend.share * 100.0;
        let weight = held.get(&backend.address).copied().unwrap_or_default();
        assert_eq!(
            weight, backend.weight,
            "{backend:?}: what is said is what the kernel has"
        );
    }
    shares
}

/// Annotations and their values.
type Words<'a> = &'a [(&'a str, &'a str)];

type Case<'a> = (Words<'a>, Affinity, [&'a [State]; 3], [f64; 3]);

const ORDER: (&str, &str) = ("cluster-order", "local, c3");
const SPILL: (&str, &str) = ("spill-over", "true");
const ONE_OF_TEN: &[State] = &[A, N, N, N, N, N, N, N, N, N];

const CASES: [Case<'_>; 19] = [
    (
        &[],
        Affinity::None,
        [&[A], &[A], &[A, A]],
        [25.0, 25.0, 50.0],
    ),
    (
        &[ORDER],
        Affinity::None,
        [&[A], &[A], &[A]],
        [100.0, 0.0, 0.0],
    ),
    (
        &[ORDER],
        Affinity::None,
        [&[N], &[A], &[A]],
        [0.0, 0.0, 100.0],
    ),
    (
        &[ORDER],
        Affinity::None,
        [&[T], &[A], &[N]],
        [0.0, 100.0, 0.0],
    ),
    // Nobody is ready: the first cluster whose backends answer still.
    (
        &[ORDER],
        Affinity::None,
        [&[N], &[T], &[T]],
        [0.0, 0.0, 100.0],
    ),
    (
        &[("cluster-order", "c2+c3, c1")],
        Affinity::None,
        [&[A], &[A], &[A]],
        [0.0, 50.0, 50.0],
    ),
    (
        &[("cluster-order", "c2+c3, c1")],
        Affinity::None,
        [&[A], &[N], &[]],
        [100.0, 0.0, 0.0],
    ),
    (
        &[("cluster-order", "c9")],
        Affinity::None,
        [&[A], &[A], &[]],
        [50.0, 50.0, 0.0],
    ),
    (
        &[("cluster-weights", "c2=50, c3=0")],
        Affinity::None,
        [&[A], &[A, A], &[A]],
        [50.0, 50.0, 0.0],
    ),
    (
        &[("cluster-weights", "local=300")],
        Affinity::None,
        [&[A], &[A], &[]],
        [75.0, 25.0, 0.0],
    ),
    // A cluster without weight is as if it had nobody.
    (
        &[("cluster-weights", "c1=0")],
        Affinity::Local,
        [&[A], &[A], &[]],
        [0.0, 100.0, 0.0],
    ),
    (
        &[SPILL],
        Affinity::Local,
        [&[A, A], &[A], &[A]],
        [100.0, 0.0, 0.0],
    ),
    (
        &[SPILL],
        Affinity::Local,
        [ONE_OF_TEN, &[A, A], &[A]],
        [10.0, 60.0, 30.0],
    ),
    (
        &[SPILL],
        Affinity::Remote,
        [&[A, A], &[A, N], &[A, N]],
        [50.0, 25.0, 25.0],
    ),
    (
        &[("spill-over", "20%")],
        Affinity::Local,
        [ONE_OF_TEN, &[A, A], &[]],
        [50.0, 50.0, 0.0],
    ),
    (
        &[ORDER, SPILL],
        Affinity::None,
        [&[A, N], &[A], &[A, N, N, N]],
        [50.0, 25.0, 25.0],
    ),
    // Those that are left take it all, in proportion.
    (
        &[ORDER, SPILL],
        Affinity::None,
        [&[A, N, N, N], &[N], &[A, N, N, N]],
        [50.0, 0.0, 50.0],
    ),
    // A rolling update spills nothing.
    (
        &[SPILL],
        Affinity::Local,
        [&[A, A, T], &[A], &[]],
        [100.0, 0.0, 0.0],
    ),
    (
        &[SPILL],
        Affinity::Local,
        [&[T, N], &[N], &[]],
        [100.0, 0.0, 0.0],
    ),
];

#[test]
fn clusters_get_what_the_table_says() {
    for (words, affinity, clusters, expected) in CASES {
        let bench = bench(graded(words, affinity), clusters);
        let shares = shares(&bench);
        for (share, expected) in shares.iter().zip(expected) {
            assert!(
                (share - expected).abs() < 0.05,
                "{words:?} {affinity} {clusters:?}: {shares:?}"
            );
        }
    }
}

#[test]
fn who_does_not_answer_is_missed_and_spilt_over() {
    use crate::health::Silence;
    let mut bench = bench(
        graded(&[("cluster-order", "c2, local"), SPILL], Affinity::None),
        [&[A], &[A, N], &[A]],
    );
    let before = shares(&bench);
    assert!((before[1] - 50.0).abs() < 0.05, "{before:?}");
    bench.tell(Fact::Silent(Silence {
        clusters: [(ClusterId(2), T0)].into(),
        ..Silence::default()
    }));
    assert_eq!(shares(&bench), [100.0, 0.0, 0.0]);
    let said = &bench.view("web").backends[1].reason;
    assert!(said.starts_with("cluster c2 has not answered"), "{said}");
}

#[test]
fn weights_and_parts_are_exact_among_many() {
    let many = [A; 1000];
    let mut local = vec![A; 9];
    local.push(N);
    let bench = bench(graded(&[SPILL], Affinity::Local), [&local, &many, &[]]);
    let shares = shares(&bench);
    assert!((shares[0] - 90.0).abs() < 0.1, "{shares:?}");
}

#[test]
fn what_can_not_be_followed_is_told() {
    let cases: [(Words<'_>, Affinity, &str); 9] = [
        (
            &[("cluster-order", "local, C2")],
            Affinity::None,
            "annotation service.tombolo.io/cluster-order is `local, C2`: `C2` is no cluster's name; use names with commas \
             between them, + between those that are alike, and local for this cluster",
        ),
        (
            &[("cluster-order", "c2, c2")],
            Affinity::None,
            "annotation service.tombolo.io/cluster-order names c2 twice: its first place counts",
        ),
        (
            &[("cluster-order", "c2")],
            Affinity::Local,
            "affinity local has no effect: annotation service.tombolo.io/cluster-order says whose backends come first",
        ),
        (
            &[("cluster-weights", "c2")],
            Affinity::None,
            "annotation service.tombolo.io/cluster-weights: `c2` is left out; use CLUSTER=PERCENT with a number from 0 to 1000",
        ),
        (
            &[("cluster-weights", "c2=5000")],
            Affinity::None,
            "annotation service.tombolo.io/cluster-weights: `c2=5000` is left out; use CLUSTER=PERCENT with a number from 0 to \
             1000",
        ),
        (
            &[("cluster-weights", "c2=5,c2=6")],
            Affinity::None,
            "annotation service.tombolo.io/cluster-weights names c2 twice: the first one counts",
        ),
        (
            &[("spill-over", "yes")],
            Affinity::Local,
            "annotation service.tombolo.io/spill-over is `yes`: taken for \"false\"; use \"true\", or the percent of a \
             cluster's backends that are enough, from 1 to 100",
        ),
        (
            &[("spill-over", "0%")],
            Affinity::Local,
            "annotation service.tombolo.io/spill-over is `0%`: taken for \"false\"; use \"true\", or the percent of a \
             cluster's backends that are enough, from 1 to 100",
        ),
        (
            &[("spill-over", "50%")],
            Affinity::None,
            "annotation service.tombolo.io/spill-over has no effect: all clusters are alike; say who comes first, by affinity \
             or by service.tombolo.io/cluster-order",
        ),
    ];
    for (words, affinity, expected) in cases {
        assert_eq!(grades(words, affinity).1, [expected], "{words:?}");
    }
    let words = [(
        "service.tombolo.io/cluster-order".to_owned(),
        "c2".to_owned(),
    )];
    let (grades, problems) = Grades::read(&words.into(), &Sharing::default());
    assert_eq!(grades, Grades::default());
    assert_eq!(
        problems,
        ["order, weights and spill-over of clusters have no effect: the service is not global"]
    );
}

#[test]
fn no_weight_anywhere_is_told() {
    let bench = bench(
        graded(&[("cluster-weights", "c1=0, c2=0")], Affinity::None),
        [&[A], &[A], &[]],
    );
    assert_eq!(
        bench.view("web").conditions,
        [
            "port http/TCP: every backend that is ready has the weight 0, so whoever calls it is refused; give one of them \
             another weight"
        ]
    );
}

/// In the words of the document: a tier takes what its ready backends are of all it should have, the next one the rest.
fn spilt(order: &[Vec<usize>], clusters: &[Vec<State>], weights: [f64; 3]) -> [f64; 3] {
    let mut shares = [0.0; 3];
    let mut rest = 1.0;
    for tier in order {
        let states = tier.iter().flat_map(|cluster| &clusters[*cluster]);
        let count = |is: State| states.clone().filter(|state| **state == is).count() as f64;
        let able: f64 = match count(A) {
            0.0 => 0.0,
            ready => ready / (ready + count(N)),
        };
        let part = able.min(rest);
        let ready = |cluster: usize| {
            let ready = clusters[cluster].iter().filter(|state| **state == A);
            ready.count() as f64 * weights[cluster]
        };
        let all: f64 = tier.iter().map(|cluster| ready(*cluster)).sum();
        for cluster in tier {
            if all > 0.0 {
                shares[*cluster] += part * ready(*cluster) / all;
            }
        }
        rest -= part;
    }
    let all: f64 = shares.iter().sum();
    shares.map(|share| if all > 0.0 { share / all * 100.0 } else { 0.0 })
}

#[test]
fn what_spills_over_is_what_the_oracle_says() {
    const ORDERS: [(&str, &[&[usize]]); 5] = [
        ("local, c2, c3", &[&[0], &[1], &[2]]),
        ("c3, local", &[&[2], &[0], &[1]]),
        ("c2+c3", &[&[1, 2], &[0]]),
        ("c3+c1, c2", &[&[0, 2], &[1]]),
        ("c2", &[&[1], &[0, 2]]),
    ];
    let mut random = Random::new(7);
    for step in 0..400 {
        let (order, tiers) = random.pick(&ORDERS);
        let clusters: [Vec<State>; 3] = std::array::from_fn(|_| {
            (0..random.below(12))
                .map(|_| *random.pick(&[A, A, N]))
                .collect()
        });
        let weight = 50 * (1 + random.below(6));
        let weighed = format!("c3={weight}");
        let words = [
            ("cluster-order", *order),
            ("cluster-weights", &weighed),
            SPILL,
        ];
        let [first, second, third] = &clusters;
        let bench = bench(graded(&words, Affinity::None), [first, second, third]);
        let tiers: Vec<Vec<usize>> = tiers.iter().map(|tier| tier.to_vec()).collect();
        let expected = spilt(&tiers, &clusters, [1.0, 1.0, weight as f64 / 100.0]);
        let found = shares(&bench);
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 0.1,
                "step {step}, {order}, {weighed}, {clusters:?}: {found:?}, not {expected:?}"
            );
        }
    }
}
