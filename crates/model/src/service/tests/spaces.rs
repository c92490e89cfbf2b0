//! Namespaces that are global and those that are not: the exporter's rule, at the reader.

use super::*;

fn bench(default_global_namespace: bool) -> Bench {
    let mut bench = Bench::new();
    let config = crate::config::Config {
        default_global_namespace,
        ..config()
    };
    bench.world = World::new(config).expect("a config");
    wake(&mut bench.world, &mut bench.kernel, T0);
    bench
}

fn say(bench: &mut Bench, global: Option<bool>) {
    bench.tell(Fact::Namespace(Event::Upsert("shop".into(), global)));
}

/// A global service with one backend here and one elsewhere.
fn serve(bench: &mut Bench) {
    let mut service = definition("10.96.0.10", global(Affinity::Remote));
    let order = (
        "service.tombolo.io/cluster-order".to_owned(),
        "c2".to_owned(),
    );
    (service.grades, _) = Grades::read(&[order].into(), &service.sharing);
    bench.define("web", service);
    bench.offer(
        OWN,
        "web-1",
        offer("c1", "web", &[("10.1.0.1", State::Active)]),
    );
    bench.share(SECOND, offer("c2", "web", &[("10.2.0.1", State::Active)]));
}

fn sync(bench: &mut Bench) {
    for fact in [
        Fact::Namespace(Event::Synced),
        Fact::Service(Event::Synced),
        Fact::Slice(OWN, Event::Synced),
    ] {
        bench.tell(fact);
    }
}

/// Who gets new connections.
fn used(bench: &Bench) -> Vec<String> {
    let used = bench.weights("web").into_iter();
    let used = used.filter(|(_, weight, _)| *weight > 0);
    used.map(|(address, _, _)| address).collect()
}

const OURS: [&str; 1] = ["10.1.0.1:8080"];
const THEIRS: [&str; 1] = ["10.2.0.1:8080"];

#[test]
fn annotation_and_option_say_what_is_joined() {
    for (annotation, by_default, else_not) in [
        (Some(Some(true)), true, true),
        (Some(Some(false)), false, false),
        (Some(None), true, false),
        // A namespace that is not there is not global.
        (None, false, false),
    ] {
        for (default, is_joined) in [(true, by_default), (false, else_not)] {
            let mut bench = bench(default);
            serve(&mut bench);
            if let Some(global) = annotation {
                say(&mut bench, global);
            }
            sync(&mut bench);
            let wanted = if is_joined { THEIRS } else { OURS };
            assert_eq!(used(&bench), wanted, "{annotation:?} {default}");
            let view = bench.view("web");
            assert_eq!((view.global, view.shared), (is_joined, is_joined));
            let told = view
                .conditions
                .iter()
                .any(|it| it.starts_with("the service is global and its namespace shop is not"));
            assert_eq!(told, !is_joined, "{:?}", view.conditions);
            assert_eq!(view.conditions.len(), usize::from(!is_joined));
        }
    }
}

#[test]
fn a_namespace_that_changes_takes_its_services_along() {
    let mut bench = bench(true);
    say(&mut bench, None);
    serve(&mut bench);
    bench.define("other", definition("10.96.0.11", global(Affinity::None)));
    sync(&mut bench);
    assert_eq!(used(&bench), THEIRS);
    say(&mut bench, Some(false));
    assert_eq!(used(&bench), OURS);
    let held = &bench.kernel.tables.backends;
    assert_eq!(held.len(), 1, "nothing of other clusters is left");
    // Said again it changes nothing, and a service that is told again stays as it is.
    bench.kernel.log.clear();
    say(&mut bench, Some(false));
    serve(&mut bench);
    assert_eq!(bench.kernel.log, []);
    say(&mut bench, Some(true));
    assert_eq!(used(&bench), THEIRS, "order and affinity count again");
    // What a new snapshot does not have is gone.
    bench.tell(Fact::Namespace(Event::Restart));
    assert_eq!(used(&bench), THEIRS);
    bench.tell(Fact::Namespace(Event::Synced));
    assert_eq!(used(&bench), OURS);
    say(&mut bench, None);
    assert_eq!(used(&bench), THEIRS);
    bench.tell(Fact::Namespace(Event::Delete("shop".into())));
    assert_eq!(used(&bench), OURS);
}

/// What the kernel holds is not given up, and nothing is led where it may not be, before namespaces are known.
#[test]
fn a_start_waits_for_namespaces() {
    let mut before = bench(true);
    say(&mut before, None);
    serve(&mut before);
    sync(&mut before);
    let config = crate::config::Config {
        sources: vec![Source::Kubernetes],
        ..config()
    };
    for (global, wanted) in [(Some(true), THEIRS), (Some(false), OURS)] {
        let mut bench = Bench::new();
        bench.world = World::new(config.clone()).expect("a config");
        bench.kernel.tables = before.kernel.tables.clone();
        bench.world.recover(Recovery {
            tables: before.kernel.tables.clone(),
            records: Vec::new(),
        });
        serve(&mut bench);
        for fact in [
            Fact::Service(Event::Synced),
            Fact::Slice(OWN, Event::Synced),
        ] {
            bench.tell(fact);
        }
        let services = |tables: &Tables| (tables.frontends.clone(), tables.backends.clone());
        assert_eq!(
            services(&bench.kernel.tables),
            services(&before.kernel.tables)
        );
        say(&mut bench, global);
        bench.tell(Fact::Namespace(Event::Synced));
        assert_eq!(used(&bench), wanted, "{global:?}");
    }
}
