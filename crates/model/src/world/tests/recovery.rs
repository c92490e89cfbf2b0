//! What survives a restart, and what a kernel that refuses leads to.

use super::*;
use crate::drive::{Datapath, drain};

fn busy() -> (Bench, Vec<Fact>) {
    let mut facts = vec![
        Fact::Node(Source::File, Event::Restart),
        Fact::Address(Source::File, Event::Restart),
    ];
    for index in 2..6 {
        let (address, range) = (format!("192.0.2.{index}"), format!("10.{index}.1.0/24"));
        let identity = (index << 16) | 0x100;
        facts.push(pod_fact(
            &format!("10.{index}.1.5/32"),
            "a",
            identity,
            &address,
        ));
        let node = node(index as u16, &[&address], &[&range]);
        facts.push(node_fact(&format!("c{index}"), "n1", node));
    }
    facts.push(Fact::Node(Source::File, Event::Synced));
    facts.push(Fact::Address(Source::File, Event::Synced));
    let mut bench = Bench::new(config());
    for fact in &facts {
        bench.tell(fact.clone()).unwrap();
    }
    for (container, ifindex) in [("a", 7), ("b", 8)] {
        bench.tell(reserve(container)).unwrap();
        bench.tell(attach(container, ifindex)).unwrap();
    }
    let entries = vec![PolicyEntry {
        verdict: Verdict::Deny,
        ..PolicyEntry::allow_all(Direction::Egress)
    }];
    bench.tell(rules(1, entries)).unwrap();
    (bench, facts)
}

fn restarted(former: &Recorder) -> Bench {
    let mut world = World::new(config()).unwrap();
    let records = former.records.values().cloned().collect();
    let tables = former.tables.clone();
    assert_eq!(world.recover(Recovery { tables, records }), []);
    let mut kernel = former.clone();
    kernel.log.clear();
    Bench { world, kernel }
}

fn tell_all(bench: &mut Bench, facts: &[Fact]) {
    for fact in facts {
        let step = step(&mut bench.world, &mut bench.kernel, fact.clone(), T0);
        assert_eq!(step.refused, []);
    }
}

#[test]
fn restart_with_the_same_facts_changes_nothing() {
    let (former, facts) = busy();
    let mut bench = restarted(&former.kernel);
    wake(&mut bench.world, &mut bench.kernel, T0);
    tell_all(&mut bench, &facts);
    assert_eq!(bench.kernel.log, []);
    assert_eq!(bench.world.desired(), bench.kernel.tables);
    assert_eq!(bench.world.endpoints(), former.world.endpoints());
    assert_eq!(bench.world.status().pending, 0);
}

#[test]
fn slots_stay_although_nodes_are_told_in_another_order() {
    let (former, mut facts) = busy();
    let last = facts.len() - 2;
    facts[2..last].reverse();
    let mut bench = restarted(&former.kernel);
    tell_all(&mut bench, &facts);
    assert_eq!(bench.kernel.log, []);
}

#[test]
fn nothing_is_swept_before_every_source_is_synced() {
    let (former, facts) = busy();
    let mut bench = restarted(&former.kernel);
    tell_all(&mut bench, &facts[..facts.len() - 1]);
    assert_eq!(bench.kernel.log, []);
    let mut bench = restarted(&former.kernel);
    tell_all(&mut bench, &synced()[..3]);
    assert_eq!(bench.kernel.log, []);
    tell_all(&mut bench, &synced()[3..]);
    assert_eq!(bench.kernel.tables, bench.world.desired());
    assert!(bench.kernel.tables.nodes.is_empty());
    assert_eq!(
        bench.kernel.tables.endpoints,
        former.kernel.tables.endpoints
    );
    assert!(matches!(bench.kernel.log.last(), Some(Change::NodeGone(_))));
}

#[test]
fn an_endpoint_whose_interface_has_vanished_goes_at_once() {
    let (former, _) = busy();
    let mut world = World::new(config()).unwrap();
    let records = former.kernel.records.values();
    let records = records
        .filter(|record| record.ifindex != 7)
        .cloned()
        .collect();
    let tables = former.kernel.tables.clone();
    world.recover(Recovery { tables, records });
    let mut kernel = Recorder {
        log: Vec::new(),
        ..former.kernel
    };
    drain(&mut world, &mut kernel, T0);
    assert!(matches!(
        &kernel.log[..],
        [
            Change::AddressGone(..),
            Change::AddressGone(..),
            Change::EndpointGone(EndpointId(1))
        ]
    ));
    assert!(!kernel.records.contains_key(&EndpointId(1)));
}

#[test]
fn records_in_conflict_are_handed_back() {
    let (former, _) = busy();
    let mut records: Vec<EndpointRecord> = former.kernel.records.values().cloned().collect();
    let twin = EndpointRecord {
        id: EndpointId(77),
        ..records[0].clone()
    };
    records.push(twin.clone());
    let mut world = World::new(config()).unwrap();
    let tables = former.kernel.tables;
    assert_eq!(world.recover(Recovery { tables, records }), [twin]);
}

#[test]
fn an_audit_mends_what_somebody_else_changed() {
    let (mut bench, _) = busy();
    let tables = &mut bench.kernel.tables;
    tables.addresses.remove(&"10.2.1.5/32".parse().unwrap());
    tables.routes.insert("10.99.0.0/24".parse().unwrap());
    tables.nodes.get_mut(&NodeSlot(1)).unwrap().address = "192.0.2.77".parse().unwrap();
    bench.world.audit(bench.kernel.tables.clone());
    bench.kernel.log.clear();
    drain(&mut bench.world, &mut bench.kernel, T0);
    assert_eq!(bench.kernel.log.len(), 3);
    assert_eq!(bench.kernel.tables, bench.world.desired());
}

/// A kernel that refuses some changes, and says so.
#[derive(Default)]
struct Stubborn {
    kernel: Recorder,
    refuse: Option<fn(&Change) -> bool>,
}

impl Datapath for Stubborn {
    type Error = &'static str;

    fn apply(&mut self, change: &Change) -> Result<(), &'static str> {
        if self.refuse.is_some_and(|refuse| refuse(change)) {
            return Err("no room");
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

#[test]
fn an_attachment_that_the_kernel_refuses_is_taken_back() {
    let refusals: [fn(&Change) -> bool; 3] = [
        |change| matches!(change, Change::PolicySet(..)),
        |change| matches!(change, Change::EndpointSet(..)),
        |change| matches!(change, Change::AddressSet(prefix, Reach { place: Place::Local(_), .. }) if prefix.addr().is_ipv6()),
    ];
    for refuse in refusals {
        let mut world = World::new(config()).unwrap();
        let mut kernel = Stubborn::default();
        step(&mut world, &mut kernel, reserve("a"), T0);
        let before = kernel.kernel.tables.clone();
        kernel.refuse = Some(refuse);
        let answer = step(&mut world, &mut kernel, attach("a", 7), T0).answer;
        let failure = answer.unwrap_err();
        assert_eq!(failure.code, FailureCode::Kernel);
        assert!(failure.message.contains("no room"), "{failure}");
        assert_eq!(kernel.kernel.tables, before);
        assert_eq!(world.endpoints()[0].state, EndpointState::Reserved);
        kernel.refuse = None;
        let answer = step(&mut world, &mut kernel, attach("a", 7), T0).answer;
        assert!(answer.is_ok());
        assert_eq!(kernel.kernel.tables, world.desired());
        assert_eq!(world.status().pending, 0);
    }
}

#[test]
fn what_was_refused_is_tried_later_and_later() {
    let mut world = World::new(config()).unwrap();
    let mut kernel = Stubborn {
        refuse: Some(|change| matches!(change, Change::NodeSet(..))),
        ..Stubborn::default()
    };
    wake(&mut world, &mut kernel, T0);
    let fact = node_fact("c2", "n1", node(2, &["192.0.2.2"], &["10.2.1.0/24"]));
    assert_eq!(step(&mut world, &mut kernel, fact, T0).refused.len(), 1);
    let known = |kernel: &Stubborn, prefix: &str| {
        let prefix: IpNet = prefix.parse().unwrap();
        kernel.kernel.tables.addresses.contains_key(&prefix)
    };
    assert!(known(&kernel, "10.2.1.0/24"));
    assert!(
        !known(&kernel, "192.0.2.2/32"),
        "nothing refers to a slot that is not there"
    );
    let mut now = T0;
    let mut waits = Vec::new();
    for _ in 0..9 {
        let due = world.poll_timeout().unwrap();
        waits.push((due - now).as_secs());
        now = due;
        assert_eq!(wake(&mut world, &mut kernel, now).len(), 1);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    kernel.refuse = None;
    now = world.poll_timeout().unwrap();
    wake(&mut world, &mut kernel, now);
    assert_eq!(kernel.kernel.tables, world.desired());
    assert_eq!((world.poll_timeout(), world.status().pending), (None, 0));
}
