//! What the kernel programs tell of packets, in the words that people read.

use crate::id::{EndpointId, Identity};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A packet that opened a connection, or that was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Nanoseconds since the machine started (the kernel's monotonic clock).
    pub time_ns: u64,
    pub verdict: FlowVerdict,
    /// Where the program that saw it stands: `pod`, `host`, `uplink` or `overlay`.
    pub seen_at: String,
    /// The reason of a drop, as `tombolo monitor` and the counters name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about it, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    pub source: Peer,
    pub destination: Peer,
    /// `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPv6`, `ARP`, or the number.
    pub protocol: String,
    pub bytes: u32,
    pub ifindex: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowVerdict {
    Allowed,
    Dropped,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub port: u16,
    pub identity: Identity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointId>,
}

fn is_zero(port: &u16) -> bool {
    *port == 0
}
