//! Clusters of real Kubernetes: what each is called, and the ranges that are its own.

use super::{PlanError, cluster_name, cluster_pod_ranges, known_to_world, world};
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tombolo_model::config::is_cluster_name;

/// Virtual addresses of services, in every cluster the same, as on most machines of the field.
pub const SERVICES: [&str; 2] = ["172.20.0.0/16", "fd00:20::/108"];
/// What a node gets of its cluster's range.
pub const NODE_MASK: u8 = 24;
pub const NODE_MASK_V6: u8 = 64;
/// Kubernetes counts no more nodes than 2^16 in a range; fewer than 64 help nobody.
const MASKS: std::ops::RangeInclusive<u8> = 8..=18;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    pub name: String,
    /// What all its pods are in.
    pub pods: [IpNet; 2],
}

/// The clusters in their order. What is not given is as in bare labs.
pub fn clusters(
    count: u8,
    names: &[String],
    pod_ranges: &[Ipv4Net],
) -> Result<Vec<Cluster>, PlanError> {
    per_cluster("--names", names.len(), count)?;
    per_cluster("--pod-ranges", pod_ranges.len(), count)?;
    let clusters: Vec<Cluster> = (1..=count)
        .map(|cluster| {
            let index = usize::from(cluster - 1);
            let [v4, v6] = cluster_pod_ranges(cluster);
            let name = names.get(index).cloned();
            Cluster {
                name: name.unwrap_or_else(|| cluster_name(cluster)),
                pods: [
                    pod_ranges.get(index).map_or(v4, |range| (*range).into()),
                    v6,
                ],
            }
        })
        .collect();
    check_names(&clusters)?;
    check_ranges(&clusters)?;
    Ok(clusters)
}

fn per_cluster(option: &'static str, given: usize, clusters: u8) -> Result<(), PlanError> {
    if given == 0 || given == usize::from(clusters) {
        return Ok(());
    }
    Err(PlanError::PerCluster {
        option,
        given,
        clusters,
    })
}

fn check_names(clusters: &[Cluster]) -> Result<(), PlanError> {
    let mut known = BTreeSet::new();
    for Cluster { name, .. } in clusters {
        if !is_cluster_name(name) {
            return Err(PlanError::ClusterName { name: name.clone() });
        }
        if !known.insert(name) {
            return Err(PlanError::SameName { name: name.clone() });
        }
    }
    Ok(())
}

fn check_ranges(clusters: &[Cluster]) -> Result<(), PlanError> {
    let services = SERVICES.map(|range| range.parse().expect("it is a range"));
    let services = services.map(|range: IpNet| (range, "the range of services".to_owned()));
    let fabric = known_to_world().into_iter().chain(world().router);
    let fabric = fabric.map(|range| (range.trunc(), "the addresses of the lab's nodes".to_owned()));
    let mut taken: Vec<(IpNet, String)> = services.into_iter().chain(fabric).collect();
    for Cluster { name, pods } in clusters {
        let range = pods[0];
        let fail = |problem| Err(PlanError::PodRange { range, problem });
        if range.trunc() != range {
            return fail(format!(
                "has bits set beyond its length; {} may be meant",
                range.trunc()
            ));
        }
        if !MASKS.contains(&range.prefix_len()) {
            let (low, high) = (MASKS.start(), MASKS.end());
            return fail(format!("is not of a length from /{low} to /{high}"));
        }
        let IpNet::V4(v4) = range else { continue };
        if !is_for_hosts(v4) {
            return fail("is not for hosts".into());
        }
        for (other, whose) in &taken {
            if other.contains(&range) || range.contains(other) {
                return fail(format!("overlaps with {other}, {whose}"));
            }
        }
        taken.push((range, format!("the pods of {name}")));
    }
    Ok(())
}

/// Neither this machine's own, nor groups of receivers, nor anything that has no place on a wire.
fn is_for_hosts(range: Ipv4Net) -> bool {
    let ends = [range.network(), range.broadcast()];
    ends.iter().all(|end| {
        let first = end.octets()[0];
        (1..224).contains(&first) && first != 127
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(count: u8, names: &str, ranges: &str) -> Result<Vec<Cluster>, String> {
        let list =
            |text: &str| -> Vec<String> { text.split_terminator(',').map(str::to_owned).collect() };
        let ranges: Vec<Ipv4Net> = list(ranges)
            .iter()
            .map(|range| range.parse().unwrap())
            .collect();
        clusters(count, &list(names), &ranges).map_err(|error| error.to_string())
    }

    #[test]
    fn clusters_have_names_and_ranges_given_or_not() {
        let usual = ask(2, "", "").unwrap();
        assert_eq!(usual[1].name, "cluster2");
        assert_eq!(usual[1].pods[0].to_string(), "10.2.0.0/16");
        let given = ask(2, "cluster-a,cluster-b", "11.0.0.0/8,12.0.0.0/8").unwrap();
        assert_eq!(given[0].name, "cluster-a");
        assert_eq!(given[0].pods[0].to_string(), "11.0.0.0/8");
        assert_eq!(
            given[1].pods,
            ["12.0.0.0/8", "fd00:10:2::/48"].map(|range| range.parse().unwrap())
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let long = "a".repeat(33);
        let cases = [
            (1, "Cluster", "", "no name for a cluster"),
            (1, "-a", "", "no name for a cluster"),
            (1, "a.b", "", "no name for a cluster"),
            (1, &long, "", "1 to 32"),
            (2, "a,a", "", "two clusters are named a"),
            (2, "a", "", "--names gives 1 for 2 clusters"),
            (1, "", "11.0.0.0/8,12.0.0.0/8", "--pod-ranges gives 2 for 1"),
            (
                2,
                "",
                "11.0.0.0/8,11.1.0.0/16",
                "overlaps with 11.0.0.0/8, the pods of cluster1",
            ),
            (1, "", "172.16.0.0/12", "the range of services"),
            (1, "", "172.30.0.0/16", "the lab's nodes"),
            (1, "", "198.51.0.0/16", "the lab's nodes"),
            (1, "", "11.0.0.1/8", "11.0.0.0/8 may be meant"),
            (1, "", "11.0.0.0/24", "/8 to /18"),
            (1, "", "8.0.0.0/7", "/8 to /18"),
            (1, "", "127.0.0.0/8", "not for hosts"),
            (1, "", "230.0.0.0/8", "not for hosts"),
            (1, "", "0.0.0.0/8", "not for hosts"),
        ];
        for (count, names, ranges, expected) in cases {
            let error = ask(count, names, ranges).unwrap_err();
            assert!(error.contains(expected), "{names} {ranges}: {error}");
        }
    }
}
