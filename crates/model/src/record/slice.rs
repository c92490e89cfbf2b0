//! A part of the endpoints of a service that its cluster shares, in the newer format: a protocol buffer within zstd.
//!
//! What we write is compressed by the quickest level only.

use super::RecordError;
use std::{collections::BTreeMap, net::IpAddr};

mod decode;
mod encode;
mod zstd;

/// As many as Kubernetes lets a slice have.
const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const ENTRIES_MAX: usize = 4096;
const ZONES_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    pub cluster: String,
    pub cluster_id: u32,
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Of all its addresses.
    pub family: Family,
    pub endpoints: Vec<Endpoint>,
    pub ports: Vec<EndpointPort>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    pub addresses: Vec<IpAddr>,
    pub conditions: Conditions,
    pub hostname: Option<String>,
    /// Deprecated by Kubernetes.
    pub topology: BTreeMap<String, String>,
    pub node: Option<String>,
    pub zone: Option<String>,
    /// The zones that it is meant for.
    pub hints: Option<Vec<String>>,
}

/// Each may be unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    pub ready: Option<bool>,
    pub serving: Option<bool>,
    pub terminating: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointPort {
    pub name: Option<String>,
    pub protocol: Option<String>,
    /// Every port if absent.
    pub port: Option<u16>,
    pub app_protocol: Option<String>,
}

impl EndpointSlice {
    pub fn decode(value: &[u8]) -> Result<EndpointSlice, RecordError> {
        decode::slice(&zstd::decompress(value)?)
    }

    pub fn encode(&self) -> Vec<u8> {
        zstd::compress(&encode::slice(self))
    }
}

impl Family {
    pub fn word(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }
}
