use super::*;
use crate::random::Random;
use std::collections::BTreeSet;

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
    let prefix = prefix.parse().unwrap();
    let mut claims = cache.claims(&prefix);
    claims.next().map(|claim| claim.address.identity.0)
}

/// Nothing is left of what has gone.
fn assert_empty(cache: &Ipcache) {
    assert_eq!((cache.count, cache.strongest.len()), (0, 0));
    assert_eq!((cache.owners.len(), cache.hosts.len()), (0, 0));
    assert!(cache.others.is_empty() && cache.refused.is_empty());
    assert!(cache.host_numbers.is_empty());
    assert!(cache.sources.values().all(|told| told.owners.is_empty()));
}

#[test]
fn late_delete_leaves_the_new_owner() {
    let mut cache = Ipcache::new(OWN);
    cache.upsert(Source::File, key("10.2.0.5/32", "old"), address(1));
    cache.upsert(Source::File, key("10.2.0.5/32", "new"), address(2));
    assert_eq!(winner(&cache, "10.2.0.5/32"), Some(2));
    assert!(cache.delete(Source::File, &key("10.2.0.5/32", "old")));
    assert!(!cache.delete(Source::File, &key("10.2.0.5/32", "old")));
    assert_eq!(winner(&cache, "10.2.0.5/32"), Some(2));
    cache.delete(Source::File, &key("10.2.0.5/32", "new"));
    assert_eq!(winner(&cache, "10.2.0.5/32"), None);
    assert_empty(&cache);
}

#[test]
fn repeated_claim_does_not_become_the_later_one() {
    let mut cache = Ipcache::new(OWN);
    assert!(cache.upsert(Source::File, key("10.2.0.5/32", "old"), address(1)));
    assert!(cache.upsert(Source::File, key("10.2.0.5/32", "new"), address(2)));
    cache.restart(Source::File);
    assert!(!cache.upsert(Source::File, key("10.2.0.5/32", "old"), address(1)));
    assert_eq!(winner(&cache, "10.2.0.5/32"), Some(2));
    assert!(cache.upsert(Source::File, key("10.2.0.5/32", "old"), address(3)));
    assert_eq!(winner(&cache, "10.2.0.5/32"), Some(3));
}

#[test]
fn what_finds_no_room_is_counted_until_it_goes_or_is_told_anew() {
    let mut cache = Ipcache::new(OWN);
    cache.claims_max = 2;
    let upsert = |cache: &mut Ipcache, last: u8| {
        let key = key(&format!("10.2.0.{last}/32"), "a");
        cache.upsert(Source::File, key, address(1))
    };
    assert_eq!(
        [1, 2, 3, 4].map(|last| upsert(&mut cache, last)),
        [true, true, false, false]
    );
    assert_eq!(cache.excess().collect::<Vec<_>>(), [(Source::File, 2)]);
    cache.delete(Source::File, &key("10.2.0.4/32", "a"));
    assert_eq!(cache.excess().collect::<Vec<_>>(), [(Source::File, 1)]);
    // A claim that is there may change however full it is.
    assert!(cache.upsert(Source::File, key("10.2.0.1/32", "a"), address(2)));

    cache.delete(Source::File, &key("10.2.0.2/32", "a"));
    cache.restart(Source::File);
    assert_eq!([1, 3].map(|last| upsert(&mut cache, last)), [true, true]);
    assert_eq!(cache.excess().count(), 0);
    assert_eq!(cache.sweep(Source::File), []);
    assert_eq!(winner(&cache, "10.2.0.3/32"), Some(1));
}

type Refused = BTreeSet<(IpNet, Source, Refusal)>;

/// The oracle: a list of claims, each with the snapshot that it was told in, searched whole.
#[derive(Default)]
struct Naive {
    claims: Vec<(AddressKey, Source, Address, usize)>,
    snapshots: BTreeMap<Source, usize>,
}

impl Naive {
    fn delete(&mut self, source: Source, key: &AddressKey) -> bool {
        let before = self.claims.len();
        self.claims
            .retain(|claim| (claim.1, &claim.0) != (source, key));
        self.claims.len() < before
    }

    fn upsert(&mut self, source: Source, key: &AddressKey, address: &Address) -> bool {
        let snapshot = self.snapshots.get(&source).copied().unwrap_or_default();
        let same = self.claims.iter_mut();
        let mut same = same.filter(|claim| (&claim.0, claim.1, &claim.2) == (key, source, address));
        if let Some(claim) = same.next() {
            claim.3 = snapshot;
            return false;
        }
        self.delete(source, key);
        let claim = (key.clone(), source, address.clone(), snapshot);
        self.claims.push(claim);
        true
    }

    fn sweep(&mut self, source: Source) -> Vec<IpNet> {
        let snapshot = self.snapshots.get(&source).copied().unwrap_or_default();
        let old = |claim: &mut (_, Source, _, usize)| claim.1 == source && claim.3 != snapshot;
        let swept = self.claims.extract_if(.., old);
        swept.map(|claim| claim.0.prefix).collect()
    }

    fn claims(&self, prefix: IpNet) -> Vec<Claim> {
        let rank = |source| SOURCES.iter().position(|other| *other == source);
        let claims = self.claims.iter().enumerate();
        let claims = claims.filter(|(_, claim)| claim.0.prefix == prefix);
        let mut claims: Vec<_> = claims.collect();
        claims.sort_by_key(|(age, claim)| (rank(claim.1), *age));
        let claims = claims.into_iter().rev().map(|(_, claim)| Claim {
            source: claim.1,
            address: claim.2.clone(),
        });
        claims.collect()
    }

    fn check(&self, cache: &Ipcache, prefix: IpNet, context: &str) {
        let claims: Vec<_> = cache.claims(&prefix).collect();
        assert_eq!(claims, self.claims(prefix), "{context}");
        assert_eq!(cache.count, self.claims.len(), "{context}");
        let prefixes: BTreeSet<_> = self.claims.iter().map(|claim| claim.0.prefix).collect();
        assert!(cache.prefixes().eq(prefixes), "{context}");
        let mut hosts: BTreeMap<IpAddr, BTreeSet<IpNet>> = BTreeMap::new();
        let mut by_source = BTreeSet::new();
        for claim in &self.claims {
            let prefixes = hosts.entry(claim.2.host).or_default();
            prefixes.insert(claim.0.prefix);
            by_source.insert((claim.2.host, claim.1));
        }
        assert_eq!(cache.hosts.len(), by_source.len(), "{context}");
        for (host, prefixes) in hosts {
            let hosted: BTreeSet<_> = cache.hosted_by(host).collect();
            assert_eq!(hosted, prefixes, "{context}");
        }
        let owners = self.claims.iter().map(|claim| (claim.1, &claim.0.owner));
        assert_eq!(
            cache.owners.len(),
            owners.collect::<BTreeSet<_>>().len(),
            "{context}"
        );
    }
}

fn refuse(claim: &Claim) -> Option<Refusal> {
    (claim.address.identity.0 == 2).then_some(Refusal::IdentityInvalid)
}

#[test]
fn claims_are_what_a_list_of_them_says() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let (mut cache, mut naive) = (Ipcache::new(OWN), Naive::default());
        for step in 0..300 {
            let source = *random.pick(&SOURCES);
            let prefix = *random.pick(&["10.2.0.1/32", "10.2.0.2/32", "fd00::1/128"]);
            let key = key(prefix, ["a", "b", "c"][random.below(3) as usize]);
            let context = format!("seed {seed}, step {step}: {source} {key:?}");
            let prefix = key.prefix;
            let mut touched = vec![prefix];
            match random.below(20) {
                0 => {
                    cache.restart(source);
                    *naive.snapshots.entry(source).or_default() += 1;
                }
                1 => {
                    touched = cache.sweep(source);
                    let mut swept = naive.sweep(source);
                    touched.sort();
                    swept.sort();
                    assert_eq!(touched, swept, "{context}");
                }
                2..6 => {
                    let (one, other) = (cache.delete(source, &key), naive.delete(source, &key));
                    assert_eq!(one, other, "{context}");
                }
                _ => {
                    let address = address(1 + random.below(4) as u32);
                    let other = naive.upsert(source, &key, &address);
                    assert_eq!(cache.upsert(source, key, address), other, "{context}");
                }
            }
            for prefix in touched {
                cache.note_refusals(&prefix, refuse);
                naive.check(&cache, prefix, &context);
            }
            let refused: Refused = cache.refused().collect();
            let expected = naive.claims.iter().filter(|claim| claim.2.identity.0 == 2);
            let expected =
                expected.map(|claim| (claim.0.prefix, claim.1, Refusal::IdentityInvalid));
            assert_eq!(refused, expected.collect(), "{context}");
        }
        for source in SOURCES {
            cache.restart(source);
            cache.sweep(source);
        }
        assert_empty(&cache);
    }
}
