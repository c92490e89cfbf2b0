//! Who is led by a table, and when it is made anew.

use super::*;
use crate::{change::Change, service::maglev::Table};
use State::{Active as A, Terminating as T};

fn open(algorithm: Option<Algorithm>) -> Definition {
    let mut port = http(80);
    port.node_port = Some(30_080);
    Definition {
        ports: vec![port],
        algorithm,
        ..definition("10.96.0.10", global(Affinity::None))
    }
}

fn pool() -> Frontend {
    Frontend {
        ip: "10.96.0.10".parse().expect("an address"),
        port: 80,
        protocol: Protocol::Tcp,
    }
}

fn digest(size: u32, backends: &[&str]) -> u64 {
    let members = backends.iter().map(|ip| {
        let ip = ip.parse().expect("an address");
        (Backend { ip, port: 8080 }, WEIGHT_DEFAULT)
    });
    let table = Table::new(size, 0, members).expect("a table");
    table.digest()
}

fn tables(bench: &Bench) -> BTreeMap<Frontend, u64> {
    assert_eq!(bench.world.desired().maglev, bench.kernel.tables.maglev);
    bench.kernel.tables.maglev.clone()
}

fn with_two(definition: Definition) -> Bench {
    let mut bench = Bench::ready();
    bench.define("web", definition);
    let both = offer("c1", "web", &[("10.1.0.1", A), ("10.1.0.2", A)]);
    bench.offer(OWN, "web-1", both);
    bench
}

/// A world that starts over what another left, told otherwise how to balance.
fn restarted(former: &Recorder, balancing: Balancing, facts: &[Fact]) -> Bench {
    let mut config = config();
    config.balancing = balancing;
    let mut bench = Bench::over(former, config);
    facts.iter().cloned().for_each(|fact| bench.tell(fact));
    bench
}

#[test]
fn only_what_is_open_and_has_a_choice_has_a_table() {
    let bench = with_two(open(None));
    assert!(tables(&bench).is_empty(), "random, unless told");
    assert_eq!(bench.view("web").algorithm, "random");
    let inside = Definition {
        algorithm: Some(Algorithm::Maglev),
        ..definition("10.96.0.10", global(Affinity::None))
    };
    let bench = with_two(inside);
    assert!(tables(&bench).is_empty(), "a ClusterIP is led at sockets");
    assert_eq!(bench.view("web").algorithm, "");

    let mut bench = with_two(open(Some(Algorithm::Maglev)));
    let both = digest(maglev::SIZE_DEFAULT, &["10.1.0.1", "10.1.0.2"]);
    assert_eq!(tables(&bench), [(pool(), both)].into());
    assert_eq!(bench.view("web").algorithm, "maglev");
    let one = offer("c1", "web", &[("10.1.0.1", A), ("10.1.0.2", T)]);
    bench.offer(OWN, "web-1", one);
    assert!(tables(&bench).is_empty(), "one that takes connections");
    bench.tell(Fact::Service(Event::Delete(name("web"))));
    assert!(bench.kernel.tables.backends.is_empty());
}

#[test]
fn tables_change_after_who_comes_and_before_who_goes() {
    let mut bench = with_two(open(Some(Algorithm::Maglev)));
    bench.kernel.log.clear();
    let other = offer(
        "c1",
        "web",
        &[("10.1.0.2", T), ("10.1.0.3", A), ("10.1.0.4", A)],
    );
    bench.offer(OWN, "web-1", other);
    let log = bench.kernel.log.iter().map(|change| match change {
        Change::BackendSet(_, backend, path) => format!("{} {}", backend.ip, path.weight),
        Change::BackendGone(_, backend) => format!("{} gone", backend.ip),
        Change::MaglevSet(..) => "table".into(),
        other => format!("{other:?}"),
    });
    assert_eq!(
        log.collect::<Vec<_>>(),
        [
            "10.1.0.3 100",
            "10.1.0.4 100",
            "table",
            "10.1.0.2 0",
            "10.1.0.1 gone"
        ]
    );
}

#[test]
fn what_stands_is_adopted_and_what_is_told_otherwise_is_replaced() {
    let both = offer("c1", "web", &[("10.1.0.1", A), ("10.1.0.2", A)]);
    let facts = [
        Fact::Service(Event::Restart),
        Fact::Service(Event::Upsert(name("web"), open(None))),
        Fact::Service(Event::Synced),
        Fact::Slice(OWN, Event::Restart),
        Fact::Slice(OWN, Event::Upsert(name("web-1"), both)),
        Fact::Slice(OWN, Event::Synced),
    ];
    let maglev = |table_size| Balancing {
        algorithm: Algorithm::Maglev,
        table_size,
        seed: 0,
    };
    let first = restarted(&Recorder::default(), maglev(251), &facts);
    let held = tables(&first);
    let again = restarted(&first.kernel, maglev(251), &facts);
    assert_eq!(
        (&again.kernel.log[..], tables(&again)),
        (&[][..], held.clone())
    );
    let larger = restarted(&first.kernel, maglev(509), &facts);
    assert!(matches!(larger.kernel.log[..], [Change::MaglevSet(..)]));
    assert_ne!(tables(&larger), held);
    let random = restarted(&first.kernel, Balancing::default(), &facts);
    assert!(matches!(random.kernel.log[..], [Change::MaglevGone(_)]));
    assert!(tables(&random).is_empty());
}

#[test]
fn a_table_that_is_too_small_is_told_of() {
    let mut bench = with_two(open(Some(Algorithm::Maglev)));
    assert_eq!(bench.view("web").conditions, Vec::<String>::new());
    let many: Vec<String> = (0..164).map(|number| format!("10.1.{number}.1")).collect();
    let many: Vec<(&str, State)> = many.iter().map(|ip| (ip.as_str(), A)).collect();
    bench.offer(OWN, "web-1", offer("c1", "web", &many));
    assert_eq!(
        bench.view("web").conditions,
        [
            "port http/TCP: 164 backends in a table of 16381 entries: their shares of what comes from outside are off by more \
             than 1 %; set maglev.tableSize to 32749"
        ]
    );
}

#[test]
fn algorithms_are_read_from_annotations() {
    let read = |value: &str| {
        let words = [(
            "service.cilium.io/lb-algorithm".to_owned(),
            value.to_owned(),
        )];
        Algorithm::read(&words.into())
    };
    assert_eq!(Algorithm::read(&BTreeMap::new()), (None, None));
    assert_eq!(read("Maglev"), (Some(Algorithm::Maglev), None));
    assert_eq!(read("random"), (Some(Algorithm::Random), None));
    let (algorithm, problem) = read("round-robin");
    assert_eq!(algorithm, None);
    assert_eq!(
        problem.as_deref(),
        Some(
            "annotation service.cilium.io/lb-algorithm is `round-robin`: the cluster's own algorithm is used; use random or \
             maglev"
        )
    );
}
