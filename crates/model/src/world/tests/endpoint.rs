//! The life of this node's own pods.

use super::*;

#[test]
fn life_of_an_endpoint() {
    let mut bench = bench();
    let Ok(Answer::Planned(plan)) = bench.tell(reserve("a")) else {
        panic!("a plan")
    };
    assert_eq!(plan.addresses.v4, Some([10, 1, 1, 2].into()));
    assert_eq!(plan.gateways.v4, Some([10, 1, 1, 1].into()));
    assert_eq!(bench.tell(reserve("a")), Ok(Answer::Planned(plan.clone())));
    assert_eq!(bench.reach("10.1.1.2/32"), None);
    let told = bench.kernel.log.len();
    let Ok(Answer::Endpoint(endpoint)) = bench.tell(attach("a", 7)) else {
        panic!("an endpoint")
    };
    assert_eq!(endpoint.state, EndpointState::Ready);
    assert!(matches!(
        &bench.kernel.log[told..],
        [
            Change::PolicySet(..),
            Change::EndpointSet(..),
            Change::AddressSet(..),
            Change::AddressSet(..)
        ]
    ));
    assert!(bench.kernel.records.contains_key(&plan.id));
    assert_eq!(bench.tell(attach("a", 7)), Ok(Answer::Endpoint(endpoint)));
    assert_eq!(
        bench.tell(attach("a", 8)).unwrap_err().code,
        FailureCode::Exists
    );
    assert_eq!(
        bench.tell(reserve("a")).unwrap_err().code,
        FailureCode::Exists
    );
    let told = bench.kernel.log.len();
    bench.tell(delete("a")).unwrap();
    assert!(matches!(
        &bench.kernel.log[told..],
        [
            Change::AddressGone(..),
            Change::AddressGone(..),
            Change::EndpointGone(..)
        ]
    ));
    assert!(bench.kernel.records.is_empty());
    assert_eq!(bench.tell(delete("a")), Ok(Answer::Done));
    let Ok(Answer::Planned(next)) = bench.tell(reserve("b")) else {
        panic!("a plan")
    };
    assert_ne!(
        (next.id, next.addresses),
        (plan.id, plan.addresses),
        "numbers and addresses are reused late"
    );
}

#[test]
fn a_reservation_ends() {
    let mut bench = bench();
    bench.tell(reserve("a")).unwrap();
    let free = bench.world.status().free_addresses;
    assert_eq!(
        bench.world.poll_timeout(),
        Some(crate::endpoint::RESERVATION)
    );
    wake(
        &mut bench.world,
        &mut bench.kernel,
        crate::endpoint::RESERVATION,
    );
    assert_eq!(bench.world.poll_timeout(), None);
    assert_eq!(
        bench.world.status().free_addresses["ipv4"],
        free["ipv4"] + 1
    );
    assert_eq!(
        bench.tell(attach("a", 7)).unwrap_err().code,
        FailureCode::NotFound
    );
}

#[test]
fn a_full_range_is_named_and_nothing_is_left_of_the_attempt() {
    let mut config = config();
    config.pod_ranges[1] = "fd00:10:1:1::/126".parse().unwrap();
    let mut bench = Bench::new(config);
    bench.tell(reserve("a")).unwrap();
    bench.tell(reserve("b")).unwrap();
    let free = bench.world.status().free_addresses;
    let failure = bench.tell(reserve("c")).unwrap_err();
    assert_eq!(failure.code, FailureCode::Exhausted);
    assert!(failure.message.contains("fd00:10:1:1::/126"), "{failure}");
    assert_eq!(bench.world.status().free_addresses, free);
    bench.tell(delete("a")).unwrap();
    bench.tell(reserve("c")).unwrap();
}

#[test]
fn rules_replace_each_other_and_end_with_the_endpoint() {
    let mut bench = bench();
    bench.tell(reserve("a")).unwrap();
    bench.tell(attach("a", 7)).unwrap();
    let id = EndpointId(1);
    let deny = PolicyEntry {
        verdict: Verdict::Deny,
        ..PolicyEntry::allow_all(Direction::Ingress)
    };
    bench.tell(rules(1, vec![deny.clone()])).unwrap();
    assert_eq!(
        bench.kernel.tables.policies[&id],
        [deny, PolicyEntry::allow_all(Direction::Egress)]
    );
    bench.tell(rules(1, vec![])).unwrap();
    assert_eq!(bench.kernel.tables.policies[&id].len(), 2);
    let unknown = rules(9, vec![]);
    assert_eq!(bench.tell(unknown).unwrap_err().code, FailureCode::NotFound);
    bench
        .tell(Fact::Endpoint(EndpointFact::InterfaceGone { ifindex: 7 }))
        .unwrap();
    assert!(bench.kernel.tables.policies.is_empty() && bench.world.endpoints().is_empty());
}

#[test]
fn only_those_kept_stay() {
    let mut bench = bench();
    for (container, ifindex) in [("a", 7), ("b", 8), ("c", 9)] {
        bench.tell(reserve(container)).unwrap();
        bench.tell(attach(container, ifindex)).unwrap();
    }
    bench
        .tell(Fact::Endpoint(EndpointFact::Keep {
            attachments: vec![attachment("b"), attachment("x")],
        }))
        .unwrap();
    let left: Vec<String> = bench
        .world
        .endpoints()
        .into_iter()
        .map(|endpoint| endpoint.attachment.container)
        .collect();
    assert_eq!(left, ["b"]);
}

#[test]
fn a_pods_identity_follows_its_labels() {
    let mut bench = bench();
    bench.tell(reserve("a")).unwrap();
    bench.tell(attach("a", 11)).unwrap();
    let identify = |container: &str, identity: u32| {
        Fact::Endpoint(EndpointFact::Identify {
            attachment: attachment(container),
            identity: Identity(identity),
        })
    };
    let other = 65_536 + 777;
    bench.tell(identify("a", other)).unwrap();
    let record = bench.kernel.records.values().next().unwrap();
    assert_eq!(record.identity, Identity(other));
    let path = bench.kernel.tables.endpoints.values().next().unwrap();
    assert_eq!(path.identity, Identity(other));
    // Another cluster's identity is none of ours to give, and who is not there has none.
    assert!(bench.tell(identify("a", 2 * 65_536 + 777)).is_err());
    assert!(bench.tell(identify("b", other)).is_err());
}
