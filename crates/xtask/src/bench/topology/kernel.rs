//! The sides without Tombolo, as `ip` makes them: nothing but veth devices, routes and the kernel's VXLAN device.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{self, Command};

use anyhow::{Context as _, Result};

use super::{End, Ends, MTU, Side};
use crate::process::quiet;

const FOLDER: &str = "/run/netns";
/// Names of our namespaces: this, our process id, the side, the part.
const PREFIX: &str = "tombolo-bench-";

const NODES: [Ipv4Addr; 2] = [Ipv4Addr::new(172, 29, 0, 1), Ipv4Addr::new(172, 29, 0, 2)];
const PODS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 29, 1, 2), Ipv4Addr::new(10, 29, 2, 2)];
const GATEWAYS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 29, 1, 1), Ipv4Addr::new(10, 29, 2, 1)];
const OVERLAY: [Ipv4Addr; 2] = [Ipv4Addr::new(172, 29, 1, 1), Ipv4Addr::new(172, 29, 1, 2)];
const OVERLAY_MACS: [&str; 2] = ["02:00:00:29:01:01", "02:00:00:29:01:02"];

/// Namespaces of one side, deleted when dropped.
pub struct Namespaces {
    prefix: String,
    parts: Vec<&'static str>,
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for part in &self.parts {
            delete(&format!("{}{part}", self.prefix));
        }
    }
}

impl Namespaces {
    fn make(label: &str, parts: &[&'static str]) -> Result<Self> {
        sweep()?;
        let prefix = format!("{PREFIX}{}-{label}-", process::id());
        let mut made = Self {
            prefix,
            parts: Vec::new(),
        };
        for part in parts {
            ip(&["netns", "add", &made.name(part)])?;
            made.parts.push(part);
            made.ip(part, &["link", "set", "lo", "up"])?;
        }
        Ok(made)
    }

    pub fn name(&self, part: &str) -> String {
        format!("{}{part}", self.prefix)
    }

    fn end(&self, part: &str, address: Ipv4Addr) -> Result<End> {
        End::open(&Path::new(FOLDER).join(self.name(part)), address)
    }

    fn ip(&self, part: &str, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.name(part)], arguments].concat())
    }

    /// A wire between two parts; each end is named, has an MTU, and is up.
    fn wire(&self, ends: [(&str, &str); 2], mtu: u32) -> Result<()> {
        let [(part, device), (peer_part, peer)] = ends;
        let peer_name = self.name(peer_part);
        let add = [
            "link", "add", device, "type", "veth", "peer", "name", peer, "netns", &peer_name,
        ];
        self.ip(part, &add)?;
        for (part, device) in ends {
            self.ip(
                part,
                &["link", "set", device, "mtu", &mtu.to_string(), "up"],
            )?;
        }
        Ok(())
    }

    fn address(&self, part: &str, device: &str, address: Ipv4Addr) -> Result<()> {
        self.ip(
            part,
            &["address", "add", &format!("{address}/24"), "dev", device],
        )
    }

    /// Sends what is for the pods of the other node to `gateway`.
    fn route(&self, part: &str, pods: Ipv4Addr, gateway: Ipv4Addr) -> Result<()> {
        let [a, b, c, _] = pods.octets();
        let range = format!("{}/24", Ipv4Addr::new(a, b, c, 0));
        self.ip(part, &["route", "add", &range, "via", &gateway.to_string()])
    }
}

pub fn build(side: Side) -> Result<(Ends, Namespaces)> {
    match side {
        Side::Host => nodes_alone(side),
        _ => nodes_with_pods(side, side.name()),
    }
}

fn nodes_alone(side: Side) -> Result<(Ends, Namespaces)> {
    let made = Namespaces::make(side.name(), &["node1", "node2"])?;
    made.wire([("node1", "u"), ("node2", "u")], MTU)?;
    made.address("node1", "u", NODES[0])?;
    made.address("node2", "u", NODES[1])?;
    let (client, server) = (made.end("node1", NODES[0])?, made.end("node2", NODES[1])?);
    Ok((Ends { client, server }, made))
}

/// Where the client's pod is.
pub const CLIENT_NODE: &str = "node1";

/// Pods whose nodes the kernel joins in the way of that side.
pub fn nodes_with_pods(side: Side, label: &str) -> Result<(Ends, Namespaces)> {
    const PLACES: [(&str, &str); 2] = [("node1", "pod1"), ("node2", "pod2")];
    let made = Namespaces::make(label, &["node1", "node2", "pod1", "pod2"])?;
    made.wire([("node1", "u"), ("node2", "u")], 1500)?;
    for (here, (node, pod)) in PLACES.iter().enumerate() {
        let there = 1 - here;
        made.address(node, "u", NODES[here])?;
        made.wire([(node, "p"), (pod, "eth0")], MTU)?;
        made.address(node, "p", GATEWAYS[here])?;
        made.address(pod, "eth0", PODS[here])?;
        made.ip(
            pod,
            &[
                "route",
                "add",
                "default",
                "via",
                &GATEWAYS[here].to_string(),
            ],
        )?;
        forward(&made, node)?;
        if side == Side::Vxlan {
            overlay(&made, node, here)?;
            made.route(node, PODS[there], OVERLAY[there])?;
        } else {
            made.route(node, PODS[there], NODES[there])?;
        }
    }
    let (client, server) = (made.end("pod1", PODS[0])?, made.end("pod2", PODS[1])?);
    Ok((Ends { client, server }, made))
}

/// The kernel's own VXLAN, with nothing left to learn.
fn overlay(made: &Namespaces, node: &str, here: usize) -> Result<()> {
    let there = 1 - here;
    let (local, remote) = (NODES[here].to_string(), NODES[there].to_string());
    let kind = [
        "link",
        "add",
        "vx",
        "address",
        OVERLAY_MACS[here],
        "mtu",
        &MTU.to_string(),
        "type",
        "vxlan",
    ]
    .map(str::to_owned);
    let ways = [
        "id",
        "29",
        "local",
        &local,
        "remote",
        &remote,
        "dstport",
        "8472",
        "dev",
        "u",
        "nolearning",
    ];
    let add: Vec<&str> = kind.iter().map(String::as_str).chain(ways).collect();
    made.ip(node, &add)?;
    made.ip(node, &["link", "set", "vx", "up"])?;
    made.address(node, "vx", OVERLAY[here])?;
    let neighbour = OVERLAY[there].to_string();
    made.ip(
        node,
        &[
            "neigh",
            "add",
            &neighbour,
            "lladdr",
            OVERLAY_MACS[there],
            "dev",
            "vx",
            "nud",
            "permanent",
        ],
    )
}

fn forward(made: &Namespaces, node: &str) -> Result<()> {
    let end = made.end(node, Ipv4Addr::UNSPECIFIED)?;
    end.set("net/ipv4/ip_forward", "1")
}

fn ip(arguments: &[&str]) -> Result<()> {
    quiet(Command::new("ip").args(arguments))
}

/// Takes away what a killed run left behind.
fn sweep() -> Result<()> {
    if !Path::new(FOLDER).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(FOLDER).context("reading the list of namespaces")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            delete(&name);
        }
    }
    Ok(())
}

fn delete(name: &str) {
    if let Err(error) = ip(&["netns", "delete", name]) {
        eprintln!("namespace {name} is left over: {error:#}");
    }
}
