use super::*;
use crate::{id::Identity, random::Random};

const OWN: ClusterId = ClusterId(1);
/// The greater ones last.
const SOURCES: [Source; 4] = [
    Source::File,
    Source::Cluster(ClusterId(2)),
    Source::Cluster(OWN),
    Source::Kubernetes,
];

fn key(prefix: &str, owner: &str) -> AddressKey {
    AddressKey {
        prefix: prefix.parse().unwrap(),
        owner: owner.into(),
    }
}

fn address(identity: u32) -> Address {
    Address {
        identity: Identity(identity),
        host: [192, 0, 2, identity as u8].into(),
    }
}

fn winner(cache: &Ipcache, prefix: &str) -> Option<u32> {
    cache
        .claims(&prefix.parse().unwrap())
        .first()
        .map(|claim| claim.address.identity.0)
}

#[test]
fn late_delete_leaves_the_new_owner() {
    let mut cache = Ipcache::new(OWN);
    cache.upsert(Source::File, 0, key("10.2.0.5/32", "old"), address(1));
    cache.upsert(Source::File, 0, key("10.2.0.5/32", "new"), address(2));
    assert_eq!(winner(&cache, "10.2.0.5/32"), Some(2));
    cache.delete(Source::File, &key("10.2.0.5/32", "old"));
    assert_eq!(winner(&cache, "10.2.0.5/32"), Some(2));
    cache.delete(Source::File, &key("10.2.0.5/32", "new"));
    assert_eq!(winner(&cache, "10.2.0.5/32"), None);
    assert!(cache.by_host.is_empty());
}

#[test]
fn repeated_claim_does_not_become_the_later_one() {
    let mut cache = Ipcache::new(OWN);
    cache.upsert(Source::File, 0, key("10.2.0.5/32", "old"), address(1));
    cache.upsert(Source::File, 0, key("10.2.0.5/32", "new"), address(2));
    cache.upsert(Source::File, 1, key("10.2.0.5/32", "old"), address(1));
    assert_eq!(winner(&cache, "10.2.0.5/32"), Some(2));
    cache.upsert(Source::File, 1, key("10.2.0.5/32", "old"), address(3));
    assert_eq!(winner(&cache, "10.2.0.5/32"), Some(3));
}

/// The oracle: a list of claims, searched whole.
#[test]
fn winner_is_the_greatest_source_then_the_latest_claim() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut cache = Ipcache::new(OWN);
        let mut naive: Vec<(IpNet, Source, String, Address)> = Vec::new();
        for step in 0..300 {
            let source = *random.pick(&SOURCES);
            let prefix = *random.pick(&["10.2.0.1/32", "10.2.0.2/32", "fd00::1/128"]);
            let key = key(prefix, ["a", "b", "c"][random.below(3) as usize]);
            let place = naive
                .iter()
                .position(|(p, s, o, _)| (*p, *s, o) == (key.prefix, source, &key.owner));
            if random.one_in(3) {
                cache.delete(source, &key);
                place.map(|place| naive.remove(place));
            } else {
                let address = address(1 + random.below(4) as u32);
                let repeated = place.is_some_and(|place| naive[place].3 == address);
                if !repeated {
                    place.map(|place| naive.remove(place));
                    naive.push((key.prefix, source, key.owner.clone(), address.clone()));
                }
                cache.upsert(source, 0, key.clone(), address);
            }
            let claims = naive
                .iter()
                .enumerate()
                .filter(|(_, claim)| claim.0 == key.prefix);
            let expected = claims
                .max_by_key(|(age, claim)| (SOURCES.iter().position(|s| *s == claim.1), *age))
                .map(|(_, claim)| claim.3.identity.0);
            assert_eq!(winner(&cache, prefix), expected, "seed {seed}, step {step}");
            assert_eq!(cache.count, naive.len(), "seed {seed}, step {step}");
            let mut hosts: BTreeMap<IpAddr, BTreeSet<IpNet>> = BTreeMap::new();
            for claim in &naive {
                hosts.entry(claim.3.host).or_default().insert(claim.0);
            }
            assert_eq!(cache.by_host, hosts, "seed {seed}, step {step}");
        }
    }
}
