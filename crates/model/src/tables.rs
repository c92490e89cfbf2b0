//! The contents of the kernel's tables as a value: what is held, or what should be.

use crate::{
    change::{Change, EndpointPath, NodePath, PolicyEntry, Reach},
    id::{EndpointId, NodeSlot},
    prefix::PrefixMap,
    service::{Backend, BackendPath, Frontend, FrontendPath},
};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    pub nodes: BTreeMap<NodeSlot, NodePath>,
    pub addresses: PrefixMap<Reach>,
    pub endpoints: BTreeMap<EndpointId, EndpointPath>,
    /// Sorted, as [`crate::policy::normalise`] leaves them.
    pub policies: BTreeMap<EndpointId, Vec<PolicyEntry>>,
    pub routes: BTreeSet<IpNet>,
    pub frontends: BTreeMap<Frontend, FrontendPath>,
    pub backends: BTreeMap<(Frontend, Backend), BackendPath>,
    /// Digests of the tables of pools.
    pub maglev: BTreeMap<Frontend, u64>,
}

impl Tables {
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::NodeSet(slot, path) => {
                self.nodes.insert(*slot, path.clone());
            }
            Change::NodeGone(slot) => {
                self.nodes.remove(slot);
            }
            Change::AddressSet(prefix, reach) => {
                self.addresses.insert(*prefix, *reach);
            }
            Change::AddressGone(prefix) => {
                self.addresses.remove(prefix);
            }
            Change::EndpointSet(id, path) => {
                self.endpoints.insert(*id, path.clone());
            }
            // An endpoint's rules go with it.
            Change::EndpointGone(id) => {
                self.endpoints.remove(id);
                self.policies.remove(id);
            }
            Change::PolicySet(id, entries) => {
                self.policies.insert(*id, entries.clone());
            }
            Change::RouteSet(prefix) => {
                self.routes.insert(*prefix);
            }
            Change::RouteGone(prefix) => {
                self.routes.remove(prefix);
            }
            Change::FrontendSet(frontend, path) => {
                self.frontends.insert(*frontend, path.clone());
            }
            Change::FrontendGone(frontend) => {
                self.frontends.remove(frontend);
            }
            Change::BackendSet(pool, backend, path) => {
                self.backends.insert((*pool, *backend), *path);
            }
            Change::BackendGone(pool, backend) => {
                self.backends.remove(&(*pool, *backend));
            }
            Change::MaglevSet(pool, table) => {
                self.maglev.insert(*pool, table.digest());
            }
            Change::MaglevGone(pool) => {
                self.maglev.remove(pool);
            }
        }
    }
}
