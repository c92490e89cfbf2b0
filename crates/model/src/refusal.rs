//! Why a record of a fact was refused; only that record suffers.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    Malformed,
    NameInvalid,
    OwnClusterIdZero,
    ClusterIdInvalid,
    ClusterIdTaken,
    NoAddress,
    TooManyAddresses,
    AddressUnusable,
    AddressTaken,
    AddressInPodRange,
    RangeOverlapsOwn,
    RangeOverlaps,
    RangeCoversNode,
    NoCommonFamily,
    IdentityInvalid,
    IdentityOfOtherCluster,
    TableFull,
}

impl Refusal {
    /// The word for counters.
    pub fn label(self) -> &'static str {
        match self {
            Refusal::Malformed => "malformed",
            Refusal::NameInvalid => "name-invalid",
            Refusal::OwnClusterIdZero => "own-cluster-id-zero",
            Refusal::ClusterIdInvalid => "cluster-id-invalid",
            Refusal::ClusterIdTaken => "cluster-id-taken",
            Refusal::NoAddress => "no-address",
            Refusal::TooManyAddresses => "too-many-addresses",
            Refusal::AddressUnusable => "address-unusable",
            Refusal::AddressTaken => "address-taken",
            Refusal::AddressInPodRange => "address-in-pod-range",
            Refusal::RangeOverlapsOwn => "range-overlaps-own",
            Refusal::RangeOverlaps => "range-overlaps",
            Refusal::RangeCoversNode => "range-covers-node",
            Refusal::NoCommonFamily => "no-common-family",
            Refusal::IdentityInvalid => "identity-invalid",
            Refusal::IdentityOfOtherCluster => "identity-of-other-cluster",
            Refusal::TableFull => "table-full",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Malformed => "not a record of the expected form",
            Refusal::NameInvalid => "its cluster's or node's name is empty, too long or has characters that names may not have",
            Refusal::OwnClusterIdZero => "it belongs to another cluster, but this node's cluster has no number; give --cluster-id",
            Refusal::ClusterIdInvalid => "its cluster's number is 0 or above the mesh's limit",
            Refusal::ClusterIdTaken => "its cluster's number belongs to a cluster of another name",
            Refusal::NoAddress => "it has no address",
            Refusal::TooManyAddresses => "it has too many addresses or pod ranges",
            Refusal::AddressUnusable => "one of its addresses can't be a host's",
            Refusal::AddressTaken => "one of its addresses belongs to another node",
            Refusal::AddressInPodRange => "its address lies in a pod range of another owner",
            Refusal::RangeOverlapsOwn => "its pod range overlaps with this node's pod range",
            Refusal::RangeOverlaps => "its pod range overlaps with that of another node",
            Refusal::RangeCoversNode => "its pod range covers the address of a node",
            Refusal::NoCommonFamily => "it shares no address family with this node, so that it can't be reached",
            Refusal::IdentityInvalid => "its identity is not one that a pod of another node may have",
            Refusal::IdentityOfOtherCluster => "its identity is not of the cluster that its node is in",
            Refusal::TableFull => "the table is full",
        })
    }
}
