use super::{
    GRANT,
    lease::{Lease, Look, Step},
};
use std::time::Duration;
use tombolo_k8s::client::Api;

fn held_by(holder: &str) -> Lease {
    Lease::first(&Api::LEASES.name("home", "lease"), holder, GRANT)
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

#[test]
fn a_lease_that_is_renewed_stays_with_its_holder() {
    let mut look = Look::new("b", GRANT);
    // However long ago its holder's clock says that it was renewed: what counts is what is seen here.
    let mut lease = held_by("a");
    for round in 0..10 {
        assert_eq!(look.at(&lease, seconds(round * 10)), Step::Wait, "{round}");
        assert_eq!(look.holder(), "a");
        let Step::Write(renewed) = Look::new("a", GRANT).at(&lease, seconds(0)) else {
            panic!("its holder may renew it");
        };
        assert_ne!(lease, *renewed);
        lease = *renewed;
    }
}

#[test]
fn a_lease_that_does_not_change_is_taken_over() {
    let mut look = Look::new("b", GRANT);
    let lease = held_by("a");
    assert_eq!(look.at(&lease, seconds(100)), Step::Wait);
    assert_eq!(look.at(&lease, seconds(114)), Step::Wait);
    let Step::Write(taken) = look.at(&lease, seconds(115)) else {
        panic!("it is over");
    };
    let text = serde_json::to_value(&taken).unwrap();
    assert_eq!(text["spec"]["holderIdentity"], "b");
    assert_eq!(text["spec"]["leaseTransitions"], 1);
    assert_eq!(text["spec"]["leaseDurationSeconds"], 15);
}

#[test]
fn a_free_lease_is_taken_at_once() {
    let Step::Write(taken) = Look::new("b", GRANT).at(&held_by("a").free(), seconds(0)) else {
        panic!("it is free");
    };
    let text = serde_json::to_value(&taken).unwrap();
    assert_eq!(text["spec"]["holderIdentity"], "b");
}
