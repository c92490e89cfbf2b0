//! Rows as the kernel has them, and as the model does.

use super::Place;
use crate::maps::{from_addr, to_addr};
use tombolo_abi::{BackendEntry, FrontendKey, SlotEntry, SlotKey};
use tombolo_model::{
    id::ClusterId,
    service::{Backend, BackendPath, Frontend, Protocol},
};

pub(super) fn key(frontend: Frontend) -> FrontendKey {
    FrontendKey {
        addr: to_addr(frontend.ip),
        port: frontend.port.to_be(),
        protocol: frontend.protocol.number(),
        _pad: [0; 5],
    }
}

pub(super) fn frontend(key: FrontendKey) -> Option<Frontend> {
    Some(Frontend {
        ip: from_addr(key.addr),
        port: u16::from_be(key.port),
        protocol: Protocol::from_number(key.protocol)?,
    })
}

pub(super) fn entry(pool: u32, backend: Backend, path: BackendPath) -> BackendEntry {
    BackendEntry {
        addr: to_addr(backend.ip),
        pool,
        port: backend.port.to_be(),
        cluster: path.cluster.0,
        weight: path.weight,
        lost: u16::from(path.lost),
        _pad: [0; 2],
    }
}

pub(super) fn backend(entry: &BackendEntry) -> (Backend, BackendPath) {
    let backend = Backend {
        ip: from_addr(entry.addr),
        port: u16::from_be(entry.port),
    };
    let path = BackendPath {
        cluster: ClusterId(entry.cluster),
        weight: entry.weight,
        lost: entry.lost != 0,
    };
    (backend, path)
}

pub(super) fn slot_key(pool: u32, index: u32) -> SlotKey {
    SlotKey { pool, index }
}

pub(super) fn slot(place: Place) -> SlotEntry {
    SlotEntry {
        backend: place.id,
        weight: u32::from(place.path.weight),
    }
}
