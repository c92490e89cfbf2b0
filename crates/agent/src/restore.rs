//! What an earlier agent left in the kernel, reconciled with the devices that are still there.
//!
//! Reads and compares; what has to go is handed to the caller.

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use tombolo_datapath::Recovered;
use tombolo_linux::{link::Link, netlink::Netlink};
use tombolo_model::{
    endpoint::EndpointRecord, id::EndpointId, policy, tables::Tables, world::Recovery,
};

#[cfg(test)]
mod tests;

/// The device that the node's stack sends to pods by.
const HOST_DEVICE: &str = "tombolo_host";
/// Who made a route: us.
const ROUTE_PROTOCOL: u8 = 0xbb;
/// How the host's ends of pods' interface pairs are named.
const POD_DEVICE_PREFIX: &str = "tmb";

/// What was found, in the order in which it is to be seen to.
#[derive(Debug, Default)]
pub struct Found {
    pub recovery: Recovery,
    /// Records that nobody can use.
    pub useless: Vec<EndpointId>,
    /// Devices that are named like a pod's and belong to none.
    pub strays: Vec<Stray>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Stray {
    pub ifindex: u32,
    pub name: String,
}

pub fn look(recovered: Recovered, netlink: &Netlink) -> Result<Found> {
    let links = netlink.links().context("listing the node's devices")?;
    let routes = routes(netlink, &links)?;
    Ok(reconcile(recovered, &links, routes))
}

/// The kernel's tables as they are now.
pub fn tables(recovered: Recovered, netlink: &Netlink) -> Result<Tables> {
    let links = netlink.links().context("listing the node's devices")?;
    let routes = routes(netlink, &links)?;
    Ok(to_tables(recovered, routes).0)
}

fn routes(netlink: &Netlink, links: &[Link]) -> Result<BTreeSet<IpNet>> {
    let Some(host) = links.iter().find(|link| link.name == HOST_DEVICE) else {
        return Ok(BTreeSet::new());
    };
    let routes = netlink
        .routes(Some(ROUTE_PROTOCOL))
        .context("listing the node's routes")?;
    Ok(routes
        .into_iter()
        .filter(|route| route.ifindex == host.index)
        .map(|route| route.destination)
        .collect())
}

fn to_tables(
    recovered: Recovered,
    routes: BTreeSet<IpNet>,
) -> (Tables, Vec<(EndpointId, Vec<u8>)>) {
    let Recovered {
        endpoints,
        records,
        nodes,
        addresses,
        policies,
        frontends,
        backends,
        maglev,
    } = recovered;
    let policies = policies
        .into_iter()
        .map(|(id, entries)| (id, policy::sorted(entries)))
        .collect();
    let tables = Tables {
        nodes: nodes.into_iter().collect(),
        addresses: addresses.into_iter().collect(),
        endpoints: endpoints.into_iter().collect(),
        policies,
        routes,
        frontends: frontends.into_iter().collect(),
        backends: backends
            .into_iter()
            .map(|(pool, backend, path)| ((pool, backend), path))
            .collect(),
        maglev: maglev.into_iter().collect(),
    };
    (tables, records)
}

fn reconcile(recovered: Recovered, links: &[Link], routes: BTreeSet<IpNet>) -> Found {
    let (tables, records) = to_tables(recovered, routes);
    let links: BTreeMap<u32, &Link> = links.iter().map(|link| (link.index, link)).collect();
    let mut found = Found::default();
    for (id, json) in records {
        let record = serde_json::from_slice::<EndpointRecord>(&json)
            .ok()
            .filter(|record| record.id == id);
        let Some(record) = record else {
            tracing::warn!(endpoint = %id, "its record can't be understood, the endpoint is removed");
            found.useless.push(id);
            continue;
        };
        let there = links
            .get(&record.ifindex)
            .is_some_and(|link| link.name == record.host_interface);
        if there {
            found.recovery.records.push(record);
        } else {
            tracing::info!(endpoint = %id, interface = record.host_interface, "its interface is gone, the endpoint is removed");
            found.useless.push(id);
        }
    }
    let used: BTreeSet<u32> = found
        .recovery
        .records
        .iter()
        .map(|record| record.ifindex)
        .collect();
    let named_so = links
        .values()
        .filter(|link| is_pod_device(link) && !used.contains(&link.index));
    found.strays = named_so
        .map(|link| Stray {
            ifindex: link.index,
            name: link.name.clone(),
        })
        .collect();
    found.recovery.tables = tables;
    found
}

/// `tmb`, a number, `x`: nobody else names devices so.
fn is_pod_device(link: &Link) -> bool {
    let rest = link.name.strip_prefix(POD_DEVICE_PREFIX);
    let number = rest
        .and_then(|rest| rest.split_once('x'))
        .map(|(number, _)| number);
    let numbered = number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    numbered && link.kind.as_deref() == Some("veth")
}
