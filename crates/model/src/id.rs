//! Numbers that must not be mixed up, each a type of its own.

use serde::{Deserialize, Serialize};
use std::{fmt, ops::RangeInclusive};

#[cfg(test)]
mod tests;

/// A cluster's number in the mesh: 0 (not meshed) or 1 to 511.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ClusterId(pub u16);

impl ClusterId {
    /// The identities that this cluster gives; `shift` is 16 with 255 clusters, 15 with 511.
    pub fn identities(self, shift: u8) -> RangeInclusive<Identity> {
        let first = u32::from(self.0) << shift;
        let last = first + (1 << shift) - 1;
        Identity(first.max(256))..=Identity(last)
    }
}

/// Cilium's numeric security identity; its low 24 bits travel as the VNI.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Identity(pub u32);

impl Identity {
    pub const UNKNOWN: Identity = Identity(0);
    pub const HOST: Identity = Identity(1);
    pub const WORLD: Identity = Identity(2);
    pub const UNMANAGED: Identity = Identity(3);
    pub const HEALTH: Identity = Identity(4);
    pub const INIT: Identity = Identity(5);
    pub const REMOTE_NODE: Identity = Identity(6);
    pub const KUBE_APISERVER: Identity = Identity(7);
    pub const INGRESS: Identity = Identity(8);
    pub const WORLD_IPV4: Identity = Identity(9);
    pub const WORLD_IPV6: Identity = Identity(10);

    /// Reserved identities mean the same in every cluster and belong to none.
    pub fn is_reserved(self) -> bool {
        self.0 < 256
    }

    /// The cluster that allocated a global identity; `shift` is 16 with 255 clusters, 15 with 511.
    pub fn cluster(self, shift: u8) -> ClusterId {
        ClusterId((self.0 >> shift) as u16)
    }

    /// The name of a reserved identity.
    pub fn reserved_name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "unknown",
            1 => "host",
            2 => "world",
            3 => "unmanaged",
            4 => "health",
            5 => "init",
            6 => "remote-node",
            7 => "kube-apiserver",
            8 => "ingress",
            9 => "world-ipv4",
            10 => "world-ipv6",
            _ => return None,
        })
    }
}

/// A local endpoint's slot in the kernel's table, 1 to 4095; 0 is the node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointId(pub u16);

/// A node's slot in the kernel's table, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeSlot(pub u16);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reserved_name() {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for NodeSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
