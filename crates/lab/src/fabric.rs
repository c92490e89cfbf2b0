//! What lies between the machines: wires, switches, gateways, a router and a world.
//!
//! ```text
//!   c1-n1 ─eth0──n1┐                                        ┌n1──eth0─ c2-n1
//!                  nodes [gateway c1] uplink──c1 [router] c2──uplink [gateway c2] nodes
//!   c1-n2 ─eth0──n2┘                             │world     └n2──eth0─ c2-n2
//!                                              eth0 [world]
//! ```
//! In native mode the gateways and the router know the pods' ranges; the world never does.
//! Knows nothing of agents and pods; faults are `fault`'s.

use crate::{
    error::Result,
    plan::{
        self, Fabric, MachineId, Namespace, NodeId, Shape, cluster_pod_ranges, known_to_world,
        pod_ranges, subnets, transit,
    },
    site::Site,
};
use tombolo_linux::netns::Netns;
use tombolo_model::net::RoutingMode;

/// The machine's only device, and what the agent is told to use.
pub const DEVICE: &str = "eth0";
pub const SWITCH: &str = "nodes";
pub const UPLINK: &str = "uplink";
const WORLD: &str = "world";
pub const MTU: u32 = 1500;

/// The gateway's port of a machine.
pub fn port(machine: MachineId) -> String {
    match machine {
        MachineId::Control(_) => "control".into(),
        MachineId::Node(node) => format!("n{}", node.number),
    }
}

/// The router's end of a cluster's uplink.
pub fn router_port(cluster: u8) -> String {
    format!("c{cluster}")
}

pub fn make(lab: &str, shape: &Shape) -> Result<()> {
    match shape.fabric {
        Fabric::Direct => make_wire(lab, shape),
        Fabric::Router => make_router(lab, shape),
    }
}

fn make_wire(lab: &str, shape: &Shape) -> Result<()> {
    let ids: Vec<NodeId> = shape.nodes().collect();
    let [a, b] = ids[..] else {
        unreachable!(
            "a direct fabric was checked to have two nodes, not {}",
            ids.len()
        )
    };
    let (site_a, site_b) = (
        Site::create(lab, Namespace::Machine(a.into()))?,
        Site::create(lab, Namespace::Machine(b.into()))?,
    );
    site_a.wire(DEVICE, &site_b, DEVICE)?;
    for (site, own, other) in [(&site_a, a, b), (&site_b, b, a)] {
        site.address(DEVICE, &shape.node_addresses(own))?;
        for net in shape.node_addresses(other) {
            site.route(DEVICE, plan::host_prefix(net.addr()), None, None)?;
        }
    }
    Ok(())
}

fn make_router(lab: &str, shape: &Shape) -> Result<()> {
    let router = Site::create(lab, Namespace::Router)?;
    router.forward()?;
    make_world(lab, &router)?;
    for cluster in shape.clusters() {
        let gateway = make_gateway(lab, shape, cluster, &router)?;
        let machines = shape.machines();
        for machine in machines.filter(|machine| machine.cluster() == cluster) {
            make_machine(lab, shape, machine, &gateway)?;
        }
    }
    Ok(())
}

fn make_world(lab: &str, router: &Site) -> Result<()> {
    let world = Site::create(lab, Namespace::World)?;
    let wire = plan::world();
    router.wire(WORLD, &world, DEVICE)?;
    router.address(WORLD, &wire.router)?;
    world.address(DEVICE, &wire.gateway)?;
    world.routes_by(DEVICE, &known_to_world(), &wire.router)
}

fn make_gateway(lab: &str, shape: &Shape, cluster: u8, router: &Site) -> Result<Site> {
    let gateway = Site::create(lab, Namespace::Gateway(cluster))?;
    gateway.forward()?;
    let switch = gateway.netlink.create_bridge(SWITCH)?;
    // A switch whose MTU was never set takes on the smallest of its ports', and every node would suffer for one.
    gateway.netlink.set_mtu(switch, MTU - 1)?;
    gateway.netlink.set_mtu(switch, MTU)?;
    // Left alone it takes on that of a port, and changes it, with every port that comes or goes.
    gateway.netlink.set_mac(switch, switch_mac(cluster))?;
    gateway.netlink.set_up(switch)?;
    gateway.address(SWITCH, &shape.gateway_addresses(cluster))?;

    let wire = transit(cluster);
    let port = router_port(cluster);
    gateway.wire(UPLINK, router, &port)?;
    gateway.address(UPLINK, &wire.gateway)?;
    router.address(&port, &wire.router)?;
    gateway.default_by(UPLINK, &wire.router)?;
    router.routes_by(&port, &subnets(cluster), &wire.gateway)?;
    if shape.routing == RoutingMode::Native {
        router.routes_by(&port, &cluster_pod_ranges(cluster), &wire.gateway)?;
    }
    Ok(gateway)
}

/// Lays the wire of a machine that joins later.
pub fn add(lab: &str, shape: &Shape, machine: MachineId) -> Result<()> {
    let gateway = Site::open(lab, Namespace::Gateway(machine.cluster()))?;
    make_machine(lab, shape, machine, &gateway)
}

/// Takes a machine's wire away, and its network with it. Nothing there is fine.
pub fn remove(lab: &str, machine: MachineId) -> Result<()> {
    let gateway = Site::open(lab, Namespace::Gateway(machine.cluster()))?;
    if let Some(port) = gateway.netlink.link(&port(machine))? {
        gateway.netlink.delete_link(port.index)?;
    }
    Ok(Netns::delete(&Namespace::Machine(machine).name(lab))?)
}

fn switch_mac(cluster: u8) -> [u8; 6] {
    [0x02, b'l', b'a', b'b', 0, cluster]
}

fn make_machine(lab: &str, shape: &Shape, machine: MachineId, gateway: &Site) -> Result<()> {
    let site = Site::create(lab, Namespace::Machine(machine))?;
    let port = port(machine);
    site.wire(DEVICE, gateway, &port)?;
    gateway
        .netlink
        .set_master(gateway.index(&port)?, Some(gateway.index(SWITCH)?))?;
    let addresses = shape.addresses(machine);
    site.address(DEVICE, &addresses)?;
    let gateways: Vec<_> = shape
        .gateway_addresses(machine.cluster())
        .into_iter()
        .filter(|net| addresses.iter().any(|own| own.contains(&net.addr())))
        .collect();
    site.default_by(DEVICE, &gateways)?;
    if let (MachineId::Node(node), RoutingMode::Native) = (machine, shape.routing) {
        gateway.routes_by(SWITCH, &pod_ranges(node), &addresses)?;
    }
    Ok(())
}

/// Tells the gateway how large the packets may be that it sends to a machine, or to forget it.
///
/// A switch drops silently what is too large for a port; only a router's answer tells the sender.
pub fn limit(gateway: &Site, shape: &Shape, machine: MachineId, mtu: Option<u32>) -> Result<()> {
    for own in shape.addresses(machine) {
        let prefix = plan::host_prefix(own.addr());
        match mtu {
            Some(_) => gateway.route(SWITCH, prefix, None, mtu)?,
            None => gateway.unroute(SWITCH, prefix, None)?,
        }
        if let (MachineId::Node(node), RoutingMode::Native) = (machine, shape.routing) {
            for range in pod_ranges(node) {
                if range.addr().is_ipv4() == own.addr().is_ipv4() {
                    gateway.route(SWITCH, range, Some(own.addr()), mtu)?;
                }
            }
        }
    }
    Ok(())
}
