//! What clusters write for each other into the mesh's store: keys and values in Cilium's wire format, both ways.
//!
//! Bytes in, typed records out, and back. Deliberately without connections, order of events or merging of clusters.
//! Fields that are not known are passed over; whatever can't be understood or believed is refused with its reason.

mod address;
mod cidr;
mod cluster;
mod error;
mod export;
mod fact;
mod json;
mod key;
mod labels;
mod node;
mod peer;
mod proto;
mod service;
mod slice;
mod time;

pub use address::{Address, NamedPort};
pub use cluster::{Capabilities, ClusterConfig, ExportMode, PeerRefused, mirror_config};
pub use error::RecordError;
pub use export::{ClientIp, ExportKind, ExportPort, ServiceExport, SessionAffinityConfig};
pub use fact::offered;
pub use key::{
    AddressName, Key, KeyError, Name, Namespaced, RecordKey, Resource, Tree, mirror_key,
};
pub use labels::{CLUSTER_LABEL, Label, Labels};
pub use node::{Node, NodeAddress};
pub use peer::{Peer, Record};
pub use service::{Port, Ports, Service, Zone, ZoneName};
pub use slice::{Conditions, Endpoint, EndpointPort, EndpointSlice, Family};
pub use time::Timestamp;

#[cfg(test)]
mod tests;
