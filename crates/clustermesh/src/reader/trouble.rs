//! Why a peer is not read, in a sentence, and what to do about it.

use tombolo_kvstore::Error;
use tombolo_model::{
    id::ClusterId,
    record::{PeerRefused, RecordError},
};

use super::{CONNECT_MAX, HEARTBEAT_MAX};
use crate::follow::ANSWER_MAX;

/// Why a peer is not read.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("no connection within {} s: is the address in its file right, and may it be reached from here?", CONNECT_MAX.as_secs())]
    Connect,
    #[error("no answer within {} s, connecting anew", ANSWER_MAX.as_secs())]
    Silent,
    #[error("no heartbeat for {} s: is what exports this cluster alive?", HEARTBEAT_MAX.as_secs())]
    NoHeartbeat,
    #[error(
        "there is no cilium/cluster-config/{cluster} in its store: does the cluster run under the name that its file has here?"
    )]
    NoConfig { cluster: String },
    #[error(
        "permission denied to read cilium/cluster-config/{cluster}: is that the name of the cluster whose store this is, and may we read there?"
    )]
    ConfigDenied { cluster: String },
    #[error("it has not said yet that all of its {missing} are in its store")]
    Incomplete { missing: String },
    #[error("its config can't be read: {0}")]
    Config(#[source] RecordError),
    #[error("its config has changed, connecting anew")]
    ConfigChanged,
    #[error("its config has gone from its store, where it may come back")]
    ConfigGone,
    #[error(transparent)]
    Refused(#[from] PeerRefused),
    #[error(
        "its cluster's number {id} is that of `{holder}` too; every cluster of a mesh needs another one"
    )]
    DuplicateId { id: ClusterId, holder: String },
}

impl Trouble {
    /// What to do about it, where that is not in the sentence already.
    pub fn hint(&self) -> &'static str {
        match self {
            Trouble::Store(error) => error.hint(),
            Trouble::Silent => "see whether its store is overloaded or the way to it cut",
            Trouble::NoConfig { .. } => {
                "the file's name must be the cluster's; a copy in the own cluster's store is made by kvstoremesh, whose status tells of its peers"
            }
            Trouble::ConfigDenied { .. } => {
                "the file's name must be the cluster's; at that cluster, `tombolo certificates list` shows who may read"
            }
            Trouble::Incomplete { .. } => {
                "see whether what exports that cluster runs, and what its status says"
            }
            Trouble::Config(_) => "is what answers there a store of a mesh?",
            Trouble::Refused(_) | Trouble::DuplicateId { .. } => {
                "give each cluster of the mesh a name and a number of its own, and all the same size of mesh"
            }
            Trouble::ConfigGone => "see whether what exports that cluster runs",
            Trouble::Connect | Trouble::NoHeartbeat | Trouble::ConfigChanged => "",
        }
    }
}
