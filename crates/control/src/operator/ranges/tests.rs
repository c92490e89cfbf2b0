use super::pool::{Family, Other, PoolError, Ranges, Refusal};
use ipnet::IpNet;
use std::collections::BTreeMap;
use tombolo_clustermesh::Random;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| net(text)).collect()
}

fn v4(pools: &[&str], mask: u8) -> Result<Option<Family>, PoolError> {
    Family::new("--cluster-pool-ipv4", &nets(pools), mask, false)
}

fn ranges(pools: &[&str], mask: u8) -> Ranges {
    Ranges::new(vec![v4(pools, mask).unwrap().unwrap()]).unwrap()
}

#[test]
fn each_node_gets_one_of_each_family() {
    let families = vec![
        v4(&["10.1.0.0/16"], 24).unwrap().unwrap(),
        Family::new("--cluster-pool-ipv6", &nets(&["fd00:1::/104"]), 120, true)
            .unwrap()
            .unwrap(),
    ];
    let mut ranges = Ranges::new(families).unwrap();
    let given = ranges.give("n1").unwrap().unwrap();
    assert_eq!(given, nets(&["10.1.0.0/24", "fd00:1::/120"]));
    assert_eq!(ranges.give("n1").unwrap(), None);
    let given = ranges.give("n2").unwrap().unwrap();
    assert_eq!(given, nets(&["10.1.1.0/24", "fd00:1::100/120"]));
    // A node that has one of a family already gets the other one beside it.
    assert_eq!(ranges.has("n3", nets(&["10.1.2.0/24"])), []);
    let given = ranges.give("n3").unwrap().unwrap();
    assert_eq!(given, nets(&["10.1.2.0/24", "fd00:1::200/120"]));
}

#[test]
fn a_range_that_was_given_back_rests_for_as_long_as_there_are_others() {
    let mut ranges = ranges(&["10.1.0.0/23", "10.9.0.0/24"], 24);
    let mut give = |node: &str, gone: Option<&str>| {
        gone.into_iter().for_each(|gone| ranges.gone(gone));
        ranges.give(node).map(|given| given.unwrap()[0].to_string())
    };
    assert_eq!(give("a", None).unwrap(), "10.1.0.0/24");
    assert_eq!(give("b", Some("a")).unwrap(), "10.1.1.0/24");
    assert_eq!(give("c", None).unwrap(), "10.9.0.0/24");
    assert_eq!(give("d", None).unwrap(), "10.1.0.0/24");
    let error = give("e", None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "all ranges of /24 in 10.1.0.0/23, 10.9.0.0/24 are taken: give the cluster another pool beside it"
    );
    assert_eq!(give("e", Some("c")).unwrap(), "10.9.0.0/24");
}

#[test]
fn pools_with_addresses_of_others_give_nothing_and_name_both() {
    let mut ranges = ranges(&["10.0.0.0/8"], 24);
    ranges.others(Other::Services, nets(&["10.96.0.0/16"]));
    let error = ranges.give("n1").unwrap_err();
    assert_eq!(
        error,
        Refusal::Overlap {
            pool: net("10.0.0.0/8"),
            range: net("10.96.0.0/16"),
            other: Other::Services
        }
    );
    ranges.others(Other::Services, nets(&["172.20.0.0/16"]));
    let peer = BTreeMap::from([("cluster2".to_owned(), nets(&["10.2.0.0/24"]))]);
    ranges.only_clusters(&peer);
    let text = ranges.give("n1").unwrap_err().to_string();
    assert!(
        text.contains("10.0.0.0/8") && text.contains("10.2.0.0/24"),
        "{text}"
    );
    assert!(text.contains("the pods of the cluster cluster2"), "{text}");
    // What a node has it keeps.
    assert_eq!(ranges.has("n2", nets(&["10.2.0.0/24"])), []);
    assert_eq!(ranges.give("n2").unwrap(), None);
    ranges.only_clusters(&BTreeMap::new());
    assert!(ranges.give("n1").unwrap().is_some());
}

#[test]
fn ranges_that_two_nodes_have_are_told_of() {
    let mut ranges = ranges(&["10.1.0.0/16"], 24);
    assert_eq!(ranges.has("a", nets(&["10.1.4.0/24"])), []);
    let twice = ranges.has("b", nets(&["10.1.0.0/20"]));
    assert_eq!(twice, [(net("10.1.0.0/20"), "a".to_owned())]);
    // Neither part of it is given to a third one.
    assert_eq!(ranges.give("c").unwrap().unwrap(), nets(&["10.1.16.0/24"]));
}

#[test]
fn pools_that_can_not_be_are_refused() {
    let table = [
        (v4(&["fd00::/104"], 120), "IPv4 are wanted"),
        (v4(&["10.1.0.0/24"], 20), "use 24 to 30"),
        (v4(&["10.1.0.0/24"], 31), "use 24 to 30"),
        (
            v4(&["10.1.0.0/16", "10.1.4.0/24"], 26),
            "10.1.0.0/16 and 10.1.4.0/24 overlap",
        ),
    ];
    for (family, complaint) in table {
        let error = family.unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
    assert!(
        Ranges::new(Vec::new())
            .unwrap_err()
            .to_string()
            .contains("--cluster-pool-ipv4")
    );
}

/// Against a naive oracle: no two nodes ever have an address in common, and none is refused while there is room.
#[test]
fn random_comings_and_goings_never_overlap() {
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let mut ranges = ranges(&["10.1.0.0/26", "10.2.0.0/27"], 29);
        let mut held: BTreeMap<String, IpNet> = BTreeMap::new();
        for _ in 0..300 {
            let node = format!("n{}", random.below(16));
            if held.remove(&node).is_some() {
                ranges.gone(&node);
                continue;
            }
            match ranges.give(&node) {
                Ok(given) => {
                    let range = given.unwrap()[0];
                    let other = held
                        .values()
                        .find(|other| range.hosts().any(|address| other.contains(&address)));
                    assert_eq!(other, None, "seed {seed}, {range}");
                    held.insert(node, range);
                }
                Err(refusal) => assert_eq!(held.len(), 12, "seed {seed}: {refusal}"),
            }
        }
    }
}
