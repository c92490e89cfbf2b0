//! Random facts against a kernel that checks what it is told, and refuses at random.

use super::*;
use crate::{
    drive::{Datapath, drain},
    random::Random,
};

const CLUSTERS: [(&str, u16); 4] = [("c1", 1), ("c2", 2), ("c3", 3), ("c4", 2)];
const SOURCES: [Source; 2] = [Source::File, Source::Cluster(ClusterId(2))];

struct Strict {
    kernel: Recorder,
    random: Random,
    /// One change in so many is refused; 0 for none.
    refuse: u64,
}

impl Datapath for Strict {
    type Error = &'static str;

    fn apply(&mut self, change: &Change) -> Result<(), &'static str> {
        self.check(change);
        if self.refuse > 0 && self.random.one_in(self.refuse) {
            return Err("refused at random");
        }
        self.kernel.apply(change).map_err(|never| match never {})
    }

    fn remember(&mut self, record: &EndpointRecord) -> Result<(), &'static str> {
        self.kernel.remember(record).map_err(|never| match never {})
    }

    fn forget(&mut self, id: EndpointId) -> Result<(), &'static str> {
        self.kernel.forget(id).map_err(|never| match never {})
    }
}

impl Strict {
    fn check(&self, change: &Change) {
        let tables = &self.kernel.tables;
        let refers = |place: Place| tables.addresses.values().any(|reach| reach.place == place);
        match change {
            Change::AddressSet(
                _,
                Reach {
                    place: Place::Remote(slot),
                    ..
                },
            ) => {
                assert!(
                    tables.nodes.contains_key(slot),
                    "{change:?} before its node"
                );
            }
            Change::NodeSet(slot, path) => {
                let new = !tables.nodes.contains_key(slot);
                assert!(
                    !new || !refers(Place::Remote(*slot)),
                    "{change:?} while addresses refer to the slot"
                );
                let same = tables
                    .nodes
                    .iter()
                    .find(|(_, other)| other.address == path.address);
                let alone = same.is_none_or(|(other, _)| other == slot);
                assert!(
                    self.refuse > 0 || alone,
                    "{change:?} leads where {same:?} leads"
                );
            }
            Change::NodeGone(slot) => {
                assert!(
                    !refers(Place::Remote(*slot)),
                    "{change:?} while addresses refer to the slot"
                );
            }
            Change::EndpointSet(id, _) => {
                assert!(
                    tables.policies.contains_key(id),
                    "{change:?} before its rules"
                );
            }
            Change::EndpointGone(id) => {
                assert!(
                    self.refuse > 0 || !refers(Place::Local(*id)),
                    "{change:?} before its addresses"
                );
            }
            _ => {}
        }
    }
}

fn any_fact(random: &mut Random) -> Fact {
    let source = *random.pick(&SOURCES);
    let (cluster, cluster_id) = *random.pick(&CLUSTERS);
    let name = format!("n{}", 1 + random.below(4));
    let host = format!("192.0.2.{}", 1 + random.below(8));
    let container = format!("p{}", random.below(6));
    match random.below(14) {
        0..4 => {
            let length = random.pick(&[22, 24, 24, 24]);
            let range = format!("10.{}.{}.0/{length}", cluster_id, random.below(4));
            let node = node(cluster_id, &[&host], &[&range]);
            Fact::Node(source, Event::Upsert(key(cluster, &name), node))
        }
        4 => Fact::Node(source, Event::Delete(key(cluster, &name))),
        5..8 => {
            let prefix = format!(
                "10.{}.{}.{}/32",
                cluster_id,
                random.below(4),
                random.below(6)
            );
            let prefix = prefix.parse().unwrap();
            let key = AddressKey {
                prefix,
                owner: name,
            };
            if random.one_in(3) {
                return Fact::Address(source, Event::Delete(key));
            }
            let identity = Identity(random.below(4) as u32 * 0x1_0000 + 0x100);
            let host = host.parse().unwrap();
            Fact::Address(source, Event::Upsert(key, Address { identity, host }))
        }
        8 => Fact::Node(
            source,
            random.pick(&[Event::Restart, Event::Synced]).clone(),
        ),
        9 => Fact::Address(
            source,
            random.pick(&[Event::Restart, Event::Synced]).clone(),
        ),
        10 => reserve(&container),
        11 | 12 => attach(&container, 2 + random.below(20) as u32),
        _ => delete(&container),
    }
}

/// The oracle of the ranges: each compared with each.
fn check_ranges(world: &World, context: &str) {
    let ranges = world
        .nodes
        .believed()
        .flat_map(|(_, believed)| &believed.node.pod_ranges);
    let ranges: Vec<&IpNet> = ranges.chain(&world.config.pod_ranges).collect();
    for (index, range) in ranges.iter().enumerate() {
        for other in &ranges[..index] {
            let apart = !range.contains(&other.network()) && !other.contains(&range.network());
            assert!(apart, "{range} overlaps {other}, {context}");
        }
    }
}

fn run(seed: u64, refuse: u64) -> (World, Strict, Duration) {
    let mut random = Random::new(seed);
    let sources = SOURCES.to_vec();
    let mut world = World::new(Config {
        sources,
        ..config()
    })
    .unwrap();
    let mut datapath = Strict {
        kernel: Recorder::default(),
        random: Random::new(seed ^ 0xabc),
        refuse,
    };
    let mut now = T0;
    for index in 0..400 {
        let fact = any_fact(&mut random);
        let context = format!("seed {seed}, step {index}: {fact:?}");
        let step = step(&mut world, &mut datapath, fact, now);
        assert_eq!(world.held(), &datapath.kernel.tables, "{context}");
        check_ranges(&world, &context);
        if refuse == 0 {
            assert_eq!(step.refused, [], "{context}");
            assert_eq!(world.desired(), datapath.kernel.tables, "{context}");
            assert_eq!(world.status().pending, 0, "{context}");
        }
        if random.one_in(10) {
            now += Duration::from_secs(random.below(30));
            wake(&mut world, &mut datapath, now);
        }
    }
    (world, datapath, now)
}

#[test]
fn the_kernel_holds_what_is_desired_after_every_fact() {
    for seed in 0..60 {
        run(seed, 0);
    }
}

#[test]
fn a_kernel_that_refuses_at_random_ends_with_what_is_desired() {
    for seed in 0..60 {
        let (mut world, mut datapath, mut now) = run(seed, 4);
        datapath.refuse = 0;
        assert_eq!(drain(&mut world, &mut datapath, now), []);
        for _ in 0..3 {
            now += Duration::from_secs(120);
            wake(&mut world, &mut datapath, now);
        }
        assert_eq!(world.desired(), datapath.kernel.tables, "seed {seed}");
        let left = (world.poll_timeout(), world.status().pending);
        assert_eq!(left, (None, 0), "seed {seed}");
    }
}

#[test]
fn the_same_facts_give_the_same_changes() {
    for seed in 0..10 {
        let log = || run(seed, 3).1.kernel.log;
        assert_eq!(log(), log(), "seed {seed}");
    }
}

#[test]
fn a_restart_at_any_time_keeps_slots_and_endpoints() {
    for seed in 0..40 {
        let (world, mut datapath, now) = run(seed, 0);
        let mut again = World::new(world.config().clone()).unwrap();
        let records = datapath.kernel.records.values().cloned().collect();
        let former = datapath.kernel.tables.clone();
        let tables = former.clone();
        assert_eq!(again.recover(Recovery { tables, records }), []);
        drain(&mut again, &mut datapath, now);
        assert_eq!(
            datapath.kernel.tables, former,
            "seed {seed}: nothing goes before the sources have told"
        );
        for source in SOURCES {
            for (key, believed) in world.nodes.believed() {
                if believed.source == source {
                    let event = Event::Upsert(key.clone(), Node::clone(&believed.node));
                    step(&mut again, &mut datapath, Fact::Node(source, event), now);
                }
            }
        }
        for source in SOURCES {
            step(
                &mut again,
                &mut datapath,
                Fact::Node(source, Event::Synced),
                now,
            );
            step(
                &mut again,
                &mut datapath,
                Fact::Address(source, Event::Synced),
                now,
            );
        }
        assert_eq!(
            datapath.kernel.tables.nodes, former.nodes,
            "seed {seed}: slots stay"
        );
        assert_eq!(
            datapath.kernel.tables.endpoints, former.endpoints,
            "seed {seed}"
        );
        assert_eq!(datapath.kernel.tables, again.desired(), "seed {seed}");
    }
}

/// Somebody takes addresses and routes out of the kernel, or changes them, while it refuses some changes.
#[test]
fn audits_at_any_time_lead_to_what_is_desired() {
    for seed in 0..40 {
        let (mut world, mut datapath, mut now) = run(seed, 4);
        let mut random = Random::new(seed ^ 0xdef);
        for _ in 0..40 {
            for _ in 0..random.below(10) {
                let fact = any_fact(&mut random);
                step(&mut world, &mut datapath, fact, now);
            }
            let tables = &mut datapath.kernel.tables;
            let prefixes: Vec<IpNet> = tables.addresses.keys().collect();
            for _ in 0..random.below(4) {
                let prefix = random.pick(&prefixes);
                match random.below(3) {
                    0 => drop(tables.addresses.remove(prefix)),
                    1 => drop(tables.addresses.insert(*prefix, wanted::NOWHERE)),
                    _ => drop(tables.routes.insert(prefix.trunc())),
                }
            }
            world.audit(tables.clone());
            drain(&mut world, &mut datapath, now);
            assert_eq!(world.held(), &datapath.kernel.tables, "seed {seed}");
        }
        datapath.refuse = 0;
        for _ in 0..4 {
            now += Duration::from_secs(120);
            wake(&mut world, &mut datapath, now);
        }
        assert_eq!(world.desired(), datapath.kernel.tables, "seed {seed}");
        let left = (world.poll_timeout(), world.status().pending);
        assert_eq!(left, (None, 0), "seed {seed}");
    }
}
