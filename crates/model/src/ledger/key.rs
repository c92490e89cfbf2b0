//! The rows of the kernel's tables by name.

use crate::{
    change::Change,
    id::{EndpointId, NodeSlot},
    service::{Backend, Frontend, Row},
};
use ipnet::IpNet;

/// One row of one of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Policy(EndpointId),
    Endpoint(EndpointId),
    Node(NodeSlot),
    Address(IpNet),
    Route(IpNet),
    Frontend(Frontend),
    Backend(Frontend, Backend),
    Maglev(Frontend),
}

impl Key {
    pub(super) fn is_of_services(&self) -> bool {
        matches!(self, Key::Frontend(_) | Key::Backend(..) | Key::Maglev(_))
    }
}

impl From<Row> for Key {
    fn from(row: Row) -> Key {
        match row {
            Row::Frontend(frontend) => Key::Frontend(frontend),
            Row::Backend(pool, backend) => Key::Backend(pool, backend),
            Row::Maglev(pool) => Key::Maglev(pool),
        }
    }
}

pub(super) fn key_of(change: &Change) -> Key {
    match change {
        Change::NodeSet(slot, _) | Change::NodeGone(slot) => Key::Node(*slot),
        Change::AddressSet(prefix, _) | Change::AddressGone(prefix) => Key::Address(*prefix),
        Change::EndpointSet(id, _) | Change::EndpointGone(id) => Key::Endpoint(*id),
        Change::PolicySet(id, _) => Key::Policy(*id),
        Change::RouteSet(prefix) | Change::RouteGone(prefix) => Key::Route(*prefix),
        Change::FrontendSet(frontend, _) | Change::FrontendGone(frontend) => {
            Key::Frontend(*frontend)
        }
        Change::BackendSet(pool, backend, _) | Change::BackendGone(pool, backend) => {
            Key::Backend(*pool, *backend)
        }
        Change::MaglevSet(pool, _) | Change::MaglevGone(pool) => Key::Maglev(*pool),
    }
}
