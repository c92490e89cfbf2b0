use crate::kubernetes::identity::{Identities, Known, LabelMap};
use std::collections::BTreeSet;
use tombolo_model::id::{ClusterId, Identity};

fn labels(app: &str) -> LabelMap {
    LabelMap::from([("k8s:app".to_owned(), app.to_owned())])
}

fn known(app: &str) -> Known {
    Known {
        labels: labels(app),
        marked: false,
    }
}

#[test]
fn all_nodes_choose_the_same_number_of_their_clusters_range() {
    for (cluster, shift) in [(0, 16), (1, 16), (255, 16), (511, 15)] {
        let range = ClusterId(cluster).identities(shift);
        let one = Identities::new(range.clone());
        let two = Identities::new(range.clone());
        for number in 0..1000 {
            let labels = labels(&format!("app-{number}"));
            let proposed = one.propose(&labels, &BTreeSet::new()).unwrap();
            assert!(range.contains(&proposed), "{proposed}");
            assert_eq!(two.propose(&labels, &BTreeSet::new()), Some(proposed));
        }
    }
}

#[test]
fn numbers_spread() {
    let identities = Identities::new(ClusterId(1).identities(16));
    let numbers = (0..1000).map(|number| {
        let labels = labels(&format!("app-{number}"));
        identities.propose(&labels, &BTreeSet::new()).unwrap()
    });
    let numbers: BTreeSet<Identity> = numbers.collect();
    // Of 1000 balls in 65,536 bins about 8 meet another.
    assert!(numbers.len() > 970, "{}", numbers.len());
}

#[test]
fn a_number_of_other_labels_is_passed_over() {
    let mut identities = Identities::new(ClusterId(1).identities(16));
    let wanted = labels("web");
    let first = identities.propose(&wanted, &BTreeSet::new()).unwrap();
    identities.upsert(first, known("other"));
    let second = identities.propose(&wanted, &BTreeSet::new()).unwrap();
    assert_ne!(first, second);
    let third = identities
        .propose(&wanted, &BTreeSet::from([second]))
        .unwrap();
    assert!(third != first && third != second);
    assert_eq!(identities.find(&wanted), None);
    identities.upsert(second, known("web"));
    assert_eq!(identities.find(&wanted), Some(second));
    // Of two with the same labels all take the lower one, and none takes another cluster's.
    identities.upsert(Identity(65_536), known("web"));
    identities.upsert(Identity(300), known("web"));
    assert_eq!(identities.find(&wanted), Some(Identity(65_536)));
    identities.remove(Identity(65_536));
    identities.remove(second);
    assert_eq!(identities.find(&wanted), None);
}
