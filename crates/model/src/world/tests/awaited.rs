//! What was recovered of clusters that are slow to be heard, or never are.

use super::*;
use crate::{drive::drain, random::Random};

const IDS: std::ops::Range<u16> = 2..7;

fn config_with_clusters() -> Config {
    Config {
        sources: vec![Source::Cluster(ClusterId(1))],
        reads_clusters: true,
        ..config()
    }
}

/// All that a cluster tells: two nodes, each with a range and two pods.
fn facts(id: u16) -> Vec<Fact> {
    let source = Source::Cluster(ClusterId(id));
    let mut facts = Vec::new();
    for index in 1..=2 {
        let host = format!("198.18.{id}.{}", 10 + index);
        let node = node(id, &[&host], &[&format!("10.{id}.{index}.0/24")]);
        let key = key(&format!("c{id}"), &format!("n{index}"));
        facts.push(Fact::Node(source, Event::Upsert(key, node)));
        for pod in [5, 6] {
            let address = format!("10.{id}.{index}.{pod}/32");
            let identity = (u32::from(id) << 16) | 0x100;
            facts.push(match pod_fact(&address, "a", identity, &host) {
                Fact::Address(_, event) => Fact::Address(source, event),
                other => other,
            });
        }
    }
    facts
}

fn snapshot(id: u16, facts: Vec<Fact>) -> Vec<Fact> {
    let source = Source::Cluster(ClusterId(id));
    let mut all = vec![
        Fact::Node(source, Event::Restart),
        Fact::Address(source, Event::Restart),
    ];
    all.extend(facts);
    all.push(Fact::Node(source, Event::Synced));
    all.push(Fact::Address(source, Event::Synced));
    all
}

fn awaited(clusters: &[(u16, bool)]) -> Fact {
    let entry = |(id, known): &(u16, bool)| (format!("c{id}"), known.then_some(ClusterId(*id)));
    Fact::Awaited(clusters.iter().map(entry).collect())
}

/// A node that knew all clusters, started again.
fn restarted() -> Bench {
    let mut former = Bench::new(config_with_clusters());
    for fact in IDS.flat_map(facts) {
        former.tell(fact).unwrap();
    }
    let mut world = World::new(config_with_clusters()).unwrap();
    let tables = former.kernel.tables.clone();
    let records = Vec::new();
    world.recover(Recovery { tables, records });
    let mut kernel = former.kernel;
    drain(&mut world, &mut kernel, T0);
    kernel.log.clear();
    Bench { world, kernel }
}

impl Bench {
    fn tell_all(&mut self, facts: impl IntoIterator<Item = Fact>) {
        for fact in facts {
            let step = step(&mut self.world, &mut self.kernel, fact, T0);
            assert_eq!(step.refused, []);
        }
    }

    /// How many nodes, addresses, ranges and routes of a cluster the kernel holds.
    fn rows(&self, id: u16) -> usize {
        rows(&self.kernel.tables, id).0.len() + rows(&self.kernel.tables, id).1
    }
}

fn rows(tables: &Tables, id: u16) -> (Vec<String>, usize) {
    let (pods, hosts) = (format!("10.{id}."), format!("198.18.{id}."));
    let addresses = tables.addresses.iter().map(|row| format!("{row:?}"));
    let routes = tables.routes.iter().map(|row| format!("{row}"));
    let of_it = |row: &String| row.contains(&pods) || row.contains(&hosts);
    let nodes = tables.nodes.values();
    let nodes = nodes.filter(|path| path.cluster == ClusterId(id)).count();
    (addresses.chain(routes).filter(of_it).collect(), nodes)
}

/// Two nodes with their addresses, routers, ranges and routes, and four pods.
const ALL: usize = 2 * 5 + 4;

#[test]
fn an_unreachable_cluster_keeps_what_is_known_of_it() {
    let mut bench = restarted();
    assert_eq!(bench.rows(2), ALL);
    bench.tell_all(snapshot(1, Vec::new()));
    assert_eq!(
        bench.kernel.log,
        [],
        "nobody knows yet which clusters there are"
    );
    bench.tell_all([awaited(&[(2, false), (3, false)])]);
    assert_eq!(bench.kernel.log, []);
    let status = bench.world.status();
    assert_eq!((status.synced, status.pending), (false, 0));
    assert_eq!(status.awaited, ["c2", "c3"]);
    assert_eq!(status.kept, ALL * IDS.len());
    let listed = bench.world.addresses();
    let kept = listed
        .iter()
        .find(|view| view.prefix == "10.2.1.5/32".parse().unwrap());
    let kept = kept.map(|view| (view.identity, view.source.as_str()));
    assert_eq!(kept, Some((Identity(0x2_0100), "kept")));
    assert_eq!(listed.len(), bench.kernel.tables.addresses.len());
    assert!(bench.world.synced_but_for_clusters());

    // What c3 does not repeat is gone, whoever else is awaited.
    let mut some = facts(3);
    some.truncate(3);
    bench.tell_all(snapshot(3, some));
    bench.tell_all([awaited(&[(2, false)])]);
    assert_eq!(bench.rows(3), ALL / 2);
    assert_eq!(bench.rows(2), ALL);
    assert_eq!(bench.rows(4), ALL, "c2 may have any number");
    assert_eq!(bench.world.status().awaited, ["c2"]);

    // It comes back and has changed nothing.
    bench.kernel.log.clear();
    bench.tell_all(snapshot(2, facts(2)));
    assert_eq!(bench.kernel.log, []);
    bench.tell_all([awaited(&[])]);
    assert_eq!((bench.rows(2), bench.rows(4)), (ALL, 0));
    assert_eq!(bench.kernel.tables, bench.world.desired());
    let status = bench.world.status();
    assert_eq!((status.synced, status.pending, status.kept), (true, 0, 0));
}

#[test]
fn a_cluster_that_was_removed_is_swept_though_another_is_unreachable() {
    let mut bench = restarted();
    bench.tell_all(snapshot(1, Vec::new()));
    bench.tell_all([awaited(&[(2, true)])]);
    assert_eq!((bench.rows(2), bench.rows(3), bench.rows(4)), (ALL, 0, 0));
}

#[test]
fn our_own_cluster_is_waited_for_before_anything_goes() {
    let mut bench = restarted();
    bench.tell_all([awaited(&[])]);
    bench.tell_all(snapshot(3, Vec::new()));
    assert_eq!(bench.kernel.log, []);
    assert_eq!(bench.world.status().awaited, ["c1"]);
    bench.tell_all(snapshot(1, Vec::new()));
    assert_eq!(bench.kernel.tables, bench.world.desired());
}

#[test]
fn what_is_kept_never_leads_to_a_node_of_another_cluster() {
    let mut bench = restarted();
    bench.tell_all(snapshot(1, Vec::new()));
    bench.tell_all([awaited(&[(2, true)])]);
    assert!(bench.reach("10.2.1.5/32").is_some());
    // The machine that was c2's is c3's now.
    let node = node(3, &["198.18.2.11"], &["10.3.9.0/24"]);
    let told = Fact::Node(
        Source::Cluster(ClusterId(3)),
        Event::Upsert(key("c3", "n9"), node),
    );
    bench.tell_all([told]);
    let slot = bench.slot("198.18.2.11").unwrap();
    assert_eq!(bench.kernel.tables.nodes[&slot].cluster, ClusterId(3));
    assert_eq!(bench.reach("10.2.1.5/32"), None);
    assert_eq!(bench.reach("10.2.1.0/24").unwrap().place, Place::Nowhere);
    let of_others = bench.kernel.tables.addresses.values().filter(|reach| {
        let cluster = reach.identity.cluster(config().identity_shift());
        reach.place == Place::Remote(slot) && !reach.identity.is_reserved() && cluster.0 != 3
    });
    assert_eq!(of_others.count(), 0);
    assert!(
        bench.reach("10.2.2.5/32").is_some(),
        "the other node's stay"
    );
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Removed,
    /// Its number is known from before, or not.
    Dead(bool),
    Heard,
}

#[test]
fn rows_are_kept_for_as_long_as_somebody_may_speak_of_them() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let fates = [
            Fate::Removed,
            Fate::Dead(true),
            Fate::Dead(false),
            Fate::Heard,
        ];
        let fates: Vec<(u16, Fate)> = IDS.map(|id| (id, *random.pick(&fates))).collect();
        let mut bench = restarted();
        let former = bench.kernel.tables.clone();
        let dead = fates.iter().filter_map(|(id, fate)| match fate {
            Fate::Dead(known) => Some((*id, *known)),
            _ => None,
        });
        let dead: Vec<(u16, bool)> = dead.collect();
        let mut told = vec![awaited(&dead)];
        told.extend(snapshot(1, Vec::new()));
        for (id, fate) in &fates {
            if *fate == Fate::Heard {
                let mut some = facts(*id);
                some.retain(|_| !random.one_in(3));
                told.extend(snapshot(*id, some));
            }
        }
        bench.tell_all(told);
        let desired = bench.world.desired();
        for (id, fate) in &fates {
            let anyone = dead.iter().any(|(_, known)| !known);
            let kept = match fate {
                Fate::Heard => false,
                Fate::Dead(true) => true,
                Fate::Dead(false) | Fate::Removed => anyone,
            };
            let context = format!("seed {seed}, c{id}: {fates:?}");
            let expected = if kept { &former } else { &desired };
            assert_eq!(
                rows(&bench.kernel.tables, *id),
                rows(expected, *id),
                "{context}"
            );
        }
        let kept = bench.kernel.tables != desired;
        assert_eq!(
            bench.world.status().kept > 0,
            kept,
            "seed {seed}: {fates:?}"
        );
        assert_eq!(bench.world.status().pending, 0, "seed {seed}: {fates:?}");
    }
}
