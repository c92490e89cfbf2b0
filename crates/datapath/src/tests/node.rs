//! A node in a network namespace of its own, with a real data path: two pods, and another node with a pod of another cluster.

use crate::{Config, Datapath};
use std::{
    net::IpAddr,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};
use tombolo_linux::{link::Veth, mount, netlink::Netlink, netns::Netns};
use tombolo_model::{
    change::{Change, Direction, EndpointPath, NodePath, Place, PolicyEntry, Reach},
    id::{ClusterId, EndpointId, Identity, NodeSlot},
    net::{Mac, PodAddresses, RoutingMode},
};

pub const NODE: &str = "192.0.2.1";
pub const NODE_V6: &str = "fd00:30::1";
pub const PEER: &str = "192.0.2.2";
pub const PEER_V6: &str = "fd00:30::2";
pub const POD_A: &str = "10.1.1.5";
pub const POD_B: &str = "10.1.1.6";
pub const POD_A_V6: &str = "fd00:10:1:1::5";
pub const POD_B_V6: &str = "fd00:10:1:1::6";
/// A pod on the other node, of cluster 2.
pub const FAR: &str = "10.2.1.5";
pub const FAR_V6: &str = "fd00:10:2:1::5";
/// A pod on a node that is reached over IPv6.
pub const FARTHER: &str = "10.2.2.5";
pub const FARTHER_V6: &str = "fd00:10:2:2::5";
pub const WORLD: &str = "198.51.100.1";
pub const WORLD_V6: &str = "2001:db8::1";
/// The gateway of pods.
pub const ROUTER: &str = "10.1.1.1";
pub const ROUTER_V6: &str = "fd00:10:1:1::1";
pub const ID_A: u32 = 65_800;
pub const ID_B: u32 = 65_801;
pub const ID_FAR: u32 = 131_400;
pub const A: EndpointId = EndpointId(1);
pub const B: EndpointId = EndpointId(2);
pub const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
pub const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];

pub struct Node {
    pub datapath: Datapath,
    pub ifindex_a: u32,
    pub ifindex_b: u32,
    pub uplink: u32,
    /// Where the node's own stack meets pods.
    pub net: u32,
    name: String,
    pins: PathBuf,
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub fn net(text: &str) -> ipnet::IpNet {
    text.parse().or_else(|_| ip_net(text)).expect("a prefix")
}

fn ip_net(text: &str) -> Result<ipnet::IpNet, std::net::AddrParseError> {
    Ok(ipnet::IpNet::from(text.parse::<IpAddr>()?))
}

/// Runs `test` on a node of its own, on a thread whose namespace is the node's.
pub fn on_node(routing: RoutingMode, test: impl FnOnce(&mut Node) + Send) {
    static NEXT_NAME: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "dp-{}-{}",
        std::process::id(),
        NEXT_NAME.fetch_add(1, Ordering::Relaxed)
    );
    let netns = Netns::create(&name).expect("a network namespace; run as root");
    let pins = PathBuf::from(format!("/sys/fs/bpf/test-{name}"));
    if !mount::is_bpffs(std::path::Path::new("/sys/fs/bpf")) {
        mount::bpffs(std::path::Path::new("/sys/fs/bpf")).expect("a bpf file system");
    }
    let result = netns.run(|| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut node = Node::new(name.clone(), pins.clone(), routing);
            test(&mut node);
        }))
    });
    let _ = std::fs::remove_dir_all(&pins);
    Netns::delete(&name).expect("the namespace is deleted");
    if let Err(panic) = result.expect("a thread in the namespace") {
        std::panic::resume_unwind(panic);
    }
}

impl Node {
    fn new(name: String, pins: PathBuf, routing: RoutingMode) -> Node {
        let netlink = Netlink::open().expect("netlink");
        let pair = |name: &'static str, peer: &'static str, mac| {
            let veth = Veth {
                name,
                mac: Some(mac),
                mtu: 1500,
                peer_name: peer,
                peer_mac: None,
                peer_netns: None,
            };
            netlink.create_veth(&veth).expect("a pair")
        };
        let uplink = pair("up", "wire", [2, 0, 0, 0, 0, 1]);
        let ifindex_a = pair("tmb1", "pod1", [2, 0, 0, 0, 0, 2]);
        let ifindex_b = pair("tmb2", "pod2", [2, 0, 0, 0, 0, 3]);
        for address in [format!("{NODE}/24"), format!("{NODE_V6}/64")] {
            netlink
                .add_address(uplink, net(&address))
                .expect("an address");
        }
        // What the kernel says on its own would be counted among the tests' packets.
        for name in ["wire", "pod1", "pod2"] {
            quieten(name);
        }
        for name in ["up", "wire", "pod1", "pod2"] {
            let link = netlink.link(name).expect("links").expect("the device");
            netlink.set_up(link.index).expect("up");
        }
        for peer in [PEER, PEER_V6] {
            netlink
                .set_neighbour_permanent(uplink, ip(peer), [2, 0, 0, 0, 0, 9])
                .expect("a neighbour");
        }
        let datapath = Datapath::open(config(pins.clone(), routing))
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        quieten("tombolo_host");
        let net = netlink.link("tombolo_net").expect("links");
        let mut node = Node {
            datapath,
            net: net.expect("the device").index,
            ifindex_a,
            ifindex_b,
            uplink,
            name,
            pins,
        };
        node.fill(routing);
        node
    }

    fn fill(&mut self, routing: RoutingMode) {
        for (slot, address) in [(1, PEER), (2, PEER_V6)] {
            let path = NodePath {
                cluster: ClusterId(2),
                address: ip(address),
                routing,
            };
            self.apply(Change::NodeSet(NodeSlot(slot), path));
        }
        self.allow_all(A);
        self.allow_all(B);
        self.apply(Change::EndpointSet(
            A,
            path(self.ifindex_a, ID_A, MAC_A, POD_A, POD_A_V6),
        ));
        self.apply(Change::EndpointSet(
            B,
            path(self.ifindex_b, ID_B, MAC_B, POD_B, POD_B_V6),
        ));
        let reach = |identity, place| Reach {
            identity: Identity(identity),
            place,
        };
        for (address, reach) in [
            (POD_A, reach(ID_A, Place::Local(A))),
            (POD_A_V6, reach(ID_A, Place::Local(A))),
            (POD_B, reach(ID_B, Place::Local(B))),
            (POD_B_V6, reach(ID_B, Place::Local(B))),
            (FAR, reach(ID_FAR, Place::Remote(NodeSlot(1)))),
            (FAR_V6, reach(ID_FAR, Place::Remote(NodeSlot(1)))),
            (FARTHER, reach(ID_FAR, Place::Remote(NodeSlot(2)))),
            (FARTHER_V6, reach(ID_FAR, Place::Remote(NodeSlot(2)))),
            (NODE, reach(1, Place::Host)),
            (NODE_V6, reach(1, Place::Host)),
            (ROUTER, reach(1, Place::Host)),
            (ROUTER_V6, reach(1, Place::Host)),
            (PEER, reach(6, Place::Remote(NodeSlot(1)))),
            ("0.0.0.0/0", reach(2, Place::World)),
            ("::/0", reach(2, Place::World)),
            ("10.1.1.0/24", reach(2, Place::Nowhere)),
            ("10.2.1.0/24", reach(2, Place::Nowhere)),
        ] {
            self.apply(Change::AddressSet(net(address), reach));
        }
    }

    pub fn apply(&mut self, change: Change) {
        self.datapath
            .apply(&change)
            .unwrap_or_else(|error| panic!("{change:?}: {}", chain(&error)));
    }

    pub fn allow_all(&mut self, id: EndpointId) {
        let entries = [Direction::Ingress, Direction::Egress].map(PolicyEntry::allow_all);
        self.apply(Change::PolicySet(id, entries.to_vec()));
    }

    /// Of its network namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn label(&self) -> String {
        format!("{} at {}", self.name, self.pins.display())
    }

    /// The pinned map of a name.
    pub fn map_path(&self, name: &str) -> PathBuf {
        let version = tombolo_abi::ABI_VERSION;
        self.pins.join(format!("maps-v{version}")).join(name)
    }
}

fn quieten(device: &str) {
    let setting = format!("net/ipv6/conf/{device}/disable_ipv6");
    tombolo_linux::sysctl::set(&setting, "1").expect("no IPv6 of the kernel's own");
}

pub fn path(ifindex: u32, identity: u32, mac: [u8; 6], v4: &str, v6: &str) -> EndpointPath {
    let addresses = PodAddresses {
        v4: v4.parse().ok(),
        v6: v6.parse().ok(),
    };
    EndpointPath {
        identity: Identity(identity),
        ifindex,
        mac: Mac(mac),
        addresses,
    }
}

fn config(pins: PathBuf, routing: RoutingMode) -> Config {
    Config {
        pins,
        uplinks: vec!["up".to_owned()],
        node_addresses: vec![ip(NODE), ip(NODE_V6)],
        router: PodAddresses {
            v4: ROUTER.parse().ok(),
            v6: ROUTER_V6.parse().ok(),
        },
        pod_ranges: vec![net("10.1.1.0/24"), net("fd00:10:1:1::/64")],
        routing,
        cluster: ClusterId(1),
        identity_shift: 16,
        pod_mtu: 1450,
        masquerade: true,
        flows_max: 65_536,
        backends_max: tombolo_abi::BACKENDS_MAX,
        cgroup: None,
    }
}

pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
