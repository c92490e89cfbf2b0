//! What survives a restart of the agent.

use super::*;
use crate::health::Silence;
use State::Active as A;

/// The facts of two clusters, in the order in which a start hears them.
fn facts() -> Vec<Fact> {
    let own = offer(
        "c1",
        "web",
        &[("10.1.0.1", A), ("10.1.0.2", State::Terminating)],
    );
    let other = offer("c2", "web", &[("10.2.0.1", A), ("10.2.0.2", A)]);
    vec![
        Fact::Service(Event::Restart),
        Fact::Service(Event::Upsert(
            name("web"),
            definition("10.96.0.10", global(Affinity::Remote)),
        )),
        Fact::Service(Event::Synced),
        Fact::Slice(OWN, Event::Restart),
        Fact::Slice(OWN, Event::Upsert(name("web-1"), own)),
        Fact::Slice(OWN, Event::Synced),
        Fact::Shared(SECOND, Event::Restart),
        Fact::Shared(SECOND, Event::Upsert(name("web"), other)),
        Fact::Shared(SECOND, Event::Synced),
    ]
}

fn awaited(clusters: &[(&str, u16)]) -> Fact {
    let named = clusters
        .iter()
        .map(|(name, id)| ((*name).into(), Some(ClusterId(*id))));
    Fact::Awaited(named.collect())
}

/// A world that starts over what another left, and reads clusters.
fn restarted(former: &Recorder) -> Bench {
    let mut config = config();
    config.reads_clusters = true;
    Bench::over(former, config)
}

fn services(bench: &Bench) -> Vec<String> {
    let of_services = |change: &&crate::change::Change| {
        let text = format!("{change:?}");
        text.starts_with("Frontend") || text.starts_with("Backend")
    };
    bench
        .kernel
        .log
        .iter()
        .filter(of_services)
        .map(|it| format!("{it:?}"))
        .collect()
}

#[test]
fn restart_with_the_same_facts_changes_nothing() {
    let mut former = Bench::new();
    facts().into_iter().for_each(|fact| former.tell(fact));
    assert_eq!(former.kernel.tables.backends.len(), 4);
    let mut bench = restarted(&former.kernel);
    bench.tell(awaited(&[("c2", 2)]));
    for fact in facts() {
        let text = format!("{fact:?}");
        bench.tell(fact);
        assert_eq!(services(&bench), Vec::<String>::new(), "after {text}");
    }
    bench.tell(awaited(&[]));
    assert_eq!(services(&bench), Vec::<String>::new());
    assert_eq!(bench.world.desired().backends, bench.kernel.tables.backends);
    assert_eq!(bench.world.status().pending, 0);
}

#[test]
fn the_order_of_clusters_holds_while_they_are_not_heard() {
    let words = [(
        "service.tombolo.io/cluster-order".to_owned(),
        "c2, local".to_owned(),
    )];
    let (grades, _) = Grades::read(&words.into(), &global(Affinity::None));
    let graded = Definition {
        grades,
        ..definition("10.96.0.10", global(Affinity::None))
    };
    let mut facts = facts();
    facts[1] = Fact::Service(Event::Upsert(name("web"), graded));
    let mut former = Bench::new();
    facts.clone().into_iter().for_each(|fact| former.tell(fact));
    let mut bench = restarted(&former.kernel);
    bench.tell(awaited(&[("c2", 2)]));
    for fact in facts {
        let text = format!("{fact:?}");
        bench.tell(fact);
        assert_eq!(services(&bench), Vec::<String>::new(), "after {text}");
    }
}

#[test]
fn a_cluster_that_is_not_heard_keeps_its_backends() {
    let mut former = Bench::new();
    facts().into_iter().for_each(|fact| former.tell(fact));
    let mut bench = restarted(&former.kernel);
    bench.tell(awaited(&[("c2", 2)]));
    for fact in facts().into_iter().take(6) {
        bench.tell(fact);
    }
    assert_eq!(
        services(&bench),
        Vec::<String>::new(),
        "remote ones are used, so local ones are not"
    );
    let kept = bench.view("web").backends;
    assert_eq!(
        kept.iter().filter(|it| it.remote && it.weight > 0).count(),
        2
    );
    // It is heard, and one of its backends has gone meanwhile.
    bench.tell(Fact::Shared(SECOND, Event::Restart));
    bench.share(SECOND, offer("c2", "web", &[("10.2.0.2", A)]));
    bench.tell(Fact::Shared(SECOND, Event::Synced));
    let left = bench
        .kernel
        .tables
        .backends
        .keys()
        .map(|(_, backend)| backend.to_string());
    assert_eq!(
        left.collect::<Vec<_>>(),
        ["10.1.0.1:8080", "10.1.0.2:8080", "10.2.0.2:8080"]
    );
}

#[test]
fn a_cluster_that_left_the_mesh_meanwhile_leaves_nothing() {
    let mut former = Bench::new();
    facts().into_iter().for_each(|fact| former.tell(fact));
    let mut bench = restarted(&former.kernel);
    bench.tell(awaited(&[]));
    for fact in facts().into_iter().take(6) {
        bench.tell(fact);
    }
    let weights: Vec<u16> = bench
        .weights("web")
        .iter()
        .map(|(_, weight, _)| *weight)
        .collect();
    assert_eq!(weights, [100, 0], "local ones take over");
    assert_eq!(bench.world.desired().backends, bench.kernel.tables.backends);
}

#[test]
fn nothing_changes_before_the_own_cluster_has_told_all() {
    let mut former = Bench::new();
    facts().into_iter().for_each(|fact| former.tell(fact));
    let mut bench = restarted(&former.kernel);
    bench.tell(awaited(&[]));
    for fact in facts().into_iter().take(5) {
        bench.tell(fact);
        assert_eq!(services(&bench), Vec::<String>::new());
    }
}

#[test]
fn who_was_silent_gets_nothing_while_a_start_hears_of_all() {
    let silent = || {
        Fact::Silent(Silence {
            clusters: [(ClusterId(2), T0)].into(),
            ..Silence::default()
        })
    };
    let mut former = Bench::new();
    facts().into_iter().for_each(|fact| former.tell(fact));
    former.tell(silent());
    let lost = former.kernel.tables.backends.values();
    assert_eq!(lost.filter(|path| path.lost).count(), 2);
    let (own, other) = (&facts()[..6], &facts()[6..]);
    for order in [[own, other].concat(), [other, own].concat()] {
        let mut bench = restarted(&former.kernel);
        bench.tell(silent());
        bench.tell(awaited(&[("c2", 2)]));
        for fact in order {
            let text = format!("{fact:?}");
            bench.tell(fact);
            assert_eq!(services(&bench), Vec::<String>::new(), "after {text}");
        }
        bench.tell(awaited(&[]));
        assert_eq!(services(&bench), Vec::<String>::new());
        assert_eq!(bench.view("web").backends[2].weight, 0);
    }
}
