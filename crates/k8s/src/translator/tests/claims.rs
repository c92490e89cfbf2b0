//! Addresses that several endpoints claim.

use super::*;

const IP: &str = "10.1.0.7";

fn shop(names: &[&str]) -> Told {
    let mut told = Told::shop();
    for name in names {
        told.put(endpoint("shop", name, &[IP]));
    }
    told.changes();
    told
}

#[test]
fn a_late_deletion_takes_nothing_from_the_successor() {
    let mut told = shop(&["old"]);
    told.put(endpoint("shop", "new", &[IP]));
    assert_eq!(told.changes(), [""; 0], "the first one has it");
    told.delete(endpoint("shop", "old", &[]));
    assert_eq!(told.changes(), ["+ip/10.1.0.7"], "never away in between");
    assert_eq!(told.pod_at(IP), Some("new"));
    told.delete(endpoint("shop", "old", &[]));
    assert_eq!(told.changes(), [""; 0]);
    told.delete(endpoint("shop", "new", &[]));
    assert_eq!(told.changes(), ["-ip/10.1.0.7"]);
}

#[test]
fn claims_are_served_in_the_order_in_which_they_came() {
    let mut told = shop(&["c", "a", "b"]);
    for owner in ["c", "a", "b"] {
        assert_eq!(told.pod_at(IP), Some(owner));
        told.delete(endpoint("shop", owner, &[]));
        told.changes();
    }
    assert_eq!(told.pod_at(IP), None);
}

#[test]
fn who_waits_and_lets_go_never_gets_it() {
    let mut told = shop(&["a", "b", "c"]);
    told.put(endpoint("shop", "b", &["10.1.0.8"]));
    assert_eq!(told.changes(), ["+ip/10.1.0.8"]);
    told.delete(endpoint("shop", "a", &[]));
    assert_eq!(told.changes(), ["+ip/10.1.0.7"]);
    assert_eq!(told.pod_at(IP), Some("c"));
}

#[test]
fn who_waits_gets_it_as_it_is_by_then() {
    let mut told = shop(&["a", "b"]);
    let mut changed = endpoint("shop", "b", &[IP]);
    changed["status"]["identity"]["id"] = json!(70009);
    told.put(changed);
    assert_eq!(told.changes(), [""; 0]);
    told.delete(endpoint("shop", "a", &[]));
    told.changes();
    let Record::Address(address) = &told.records[&(Resource::Addresses, IP.to_owned())] else {
        panic!("an address");
    };
    assert_eq!((address.pod.as_str(), address.identity), ("b", 70009));
}

#[test]
fn endpoints_that_nobody_may_know_of_claim_nothing() {
    let mut told = Told::shop();
    told.put(namespace("private", Some("false")));
    told.put(endpoint("private", "hidden", &[IP]));
    told.put(endpoint("shop", "seen", &[IP]));
    told.changes();
    assert_eq!(told.pod_at(IP), Some("seen"));
    told.put(namespace("private", Some("true")));
    assert_eq!(told.changes(), [""; 0], "it comes second");
    told.delete(endpoint("shop", "seen", &[]));
    told.changes();
    assert_eq!(told.pod_at(IP), Some("hidden"));
}

#[test]
fn endpoints_claim_once_it_is_known_who_and_where_they_are() {
    let whole = || endpoint("shop", "a", &[IP, "fd01::7"]);
    let mut nobody = whole();
    nobody["status"]["identity"] = json!(null);
    let mut nowhere = whole();
    nowhere["status"]["networking"]["node"] = json!("");
    let mut unborn = whole();
    unborn["status"] = json!(null);
    for part in [nobody, nowhere, unborn] {
        let mut told = Told::shop();
        told.put(part.clone());
        assert_eq!(told.changes(), [""; 0], "{part}");
        told.put(whole());
        assert_eq!(told.changes(), ["+ip/10.1.0.7", "+ip/fd01::7"]);
        told.put(part);
        assert_eq!(told.changes(), ["-ip/10.1.0.7", "-ip/fd01::7"]);
    }
}
