//! What a cluster tells of itself before anything else, and whether we can be meshed with it.

use super::{
    RecordError,
    error::shorten,
    json::{decode, encode, or_default},
};
use crate::id::ClusterId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const VALUE_LEN_MAX: usize = 64 << 10;

/// Fields that we don't know are kept, for whoever reads a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterConfig {
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_zero"
    )]
    pub id: u32,
    #[serde(default, deserialize_with = "or_default")]
    pub capabilities: Capabilities,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Nothing may be listed before its canary has been written.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_false"
    )]
    pub synced_canaries: bool,
    /// Its records lie under `cache`.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_false"
    )]
    pub cached: bool,
    /// 0 from a cluster too old to tell, which means 255.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_zero"
    )]
    pub max_connected_clusters: u32,
    /// Absent from a cluster too old to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_exports_enabled: Option<bool>,
    #[serde(
        rename = "endpointSlicesExportMode",
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub export_mode: String,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How a cluster tells of its services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExportMode {
    Services,
    Both,
    EndpointSlices,
}

/// Why a cluster can't be our peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefused {
    #[error("its cluster has no number; give it one from 1 to {max}, of its own in the mesh")]
    NoId { max: u16 },
    #[error("its cluster's number {id} is above {max}, the most clusters that this mesh may have")]
    IdTooLarge { id: u32, max: u16 },
    #[error("its cluster's number {id} is our own; every cluster of a mesh needs another one")]
    OwnId { id: ClusterId },
    #[error(
        "this store is of our cluster and says that its number is {id}, but here it is {own}; --cluster-id must be the same in all programs of a cluster"
    )]
    NotOwnId { id: u32, own: ClusterId },
    #[error(
        "it is made for a mesh of {theirs} clusters and ours for {ours}; --max-connected-clusters must be the same in all"
    )]
    MeshSize { theirs: u32, ours: u16 },
    #[error(
        "it exports services in the unknown way `{mode}`; update this cluster to a version that knows it"
    )]
    ExportMode { mode: String },
}

impl ClusterConfig {
    pub fn decode(value: &[u8]) -> Result<ClusterConfig, RecordError> {
        if value.len() > VALUE_LEN_MAX {
            return Err(RecordError::TooLong {
                len: value.len(),
                max: VALUE_LEN_MAX,
            });
        }
        decode(value)
    }

    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The number of a cluster that may be our peer. Whether another peer has the same is for those who know all peers.
    pub fn check(&self, own: ClusterId, clusters_max: u16) -> Result<ClusterId, PeerRefused> {
        self.check_mesh(clusters_max)?;
        let id = match u16::try_from(self.id) {
            Ok(0) => return Err(PeerRefused::NoId { max: clusters_max }),
            Ok(id) if id <= clusters_max => ClusterId(id),
            _ => {
                return Err(PeerRefused::IdTooLarge {
                    id: self.id,
                    max: clusters_max,
                });
            }
        };
        if id == own {
            return Err(PeerRefused::OwnId { id });
        }
        Ok(id)
    }

    /// Whether it is the config of our own cluster.
    pub fn check_own(&self, own: ClusterId, clusters_max: u16) -> Result<(), PeerRefused> {
        self.check_mesh(clusters_max)?;
        if self.id != u32::from(own.0) {
            return Err(PeerRefused::NotOwnId { id: self.id, own });
        }
        Ok(())
    }

    /// To be asked first of all: under another limit all numbers mean something else.
    fn check_mesh(&self, clusters_max: u16) -> Result<(), PeerRefused> {
        let theirs = match self.capabilities.max_connected_clusters {
            0 => 255,
            theirs => theirs,
        };
        if theirs != u32::from(clusters_max) {
            return Err(PeerRefused::MeshSize {
                theirs,
                ours: clusters_max,
            });
        }
        self.capabilities.export_mode()?;
        Ok(())
    }

    /// What stands beside the copy of a peer's records in our own store.
    pub fn mirrored(mut self) -> ClusterConfig {
        self.capabilities.synced_canaries = true;
        self.capabilities.cached = true;
        self
    }
}

impl Capabilities {
    pub fn export_mode(&self) -> Result<ExportMode, PeerRefused> {
        match self.export_mode.as_str() {
            "" => Ok(ExportMode::Services),
            "services-and-endpointslices" => Ok(ExportMode::Both),
            "endpointslices-only" => Ok(ExportMode::EndpointSlices),
            mode => Err(PeerRefused::ExportMode {
                mode: shorten(mode),
            }),
        }
    }
}

impl ExportMode {
    /// How it is written.
    pub fn word(self) -> &'static str {
        match self {
            ExportMode::Services => "",
            ExportMode::Both => "services-and-endpointslices",
            ExportMode::EndpointSlices => "endpointslices-only",
        }
    }
}

/// A peer's config as it stands beside the copy of its records.
pub fn mirror_config(value: &[u8]) -> Result<Vec<u8>, RecordError> {
    Ok(ClusterConfig::decode(value)?.mirrored().encode())
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}
