//! A node in a network namespace of its own, with a real data path, that packets are put through one at a time.

use crate::{Config, Datapath, programs};
use aya::programs::{TestRun, TestRunOptions};
use std::{
    net::IpAddr,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};
use tombolo_abi::{Flow, FlowKey};
use tombolo_linux::{link::Veth, mount, netlink::Netlink, netns::Netns};
use tombolo_model::{
    change::{Change, Direction, EndpointPath, NodePath, Place, PolicyEntry, Reach},
    id::{ClusterId, EndpointId, Identity, NodeSlot},
    net::{Mac, PodAddresses, RoutingMode},
};

/// What the kernel is told to do with a packet.
pub const NEXT: i32 = -1;
pub const SHOT: i32 = 2;
pub const REDIRECT: i32 = 7;

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
    name: String,
    pins: PathBuf,
}

/// What became of a packet.
#[derive(Debug)]
pub struct Outcome {
    pub verdict: i32,
    pub packet: Vec<u8>,
    pub mark: u32,
    pub nanoseconds: u128,
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
        let mut node = Node {
            datapath,
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
            (NODE, reach(1, Place::Host)),
            ("10.1.1.1", reach(1, Place::Host)),
            ("fd00:10:1:1::1", reach(1, Place::Host)),
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

    /// Puts a packet through a program as if it had come in by `ifindex`.
    pub fn run(&mut self, program: &'static str, ifindex: u32, packet: &[u8]) -> Outcome {
        self.run_with(program, ifindex, packet, 0, 1)
    }

    pub fn run_with(
        &mut self,
        program: &'static str,
        ifindex: u32,
        packet: &[u8],
        mark: u32,
        repeat: u32,
    ) -> Outcome {
        let program = programs::get(self.datapath.ebpf(), program).expect("the program");
        let mut out = vec![0; packet.len() + 256];
        let context = Context {
            mark,
            ifindex,
            ..Context::default()
        };
        let context_in = context.bytes();
        let mut context_out = [0; CONTEXT];
        let mut options = TestRunOptions::new();
        options.data_in = Some(packet);
        options.data_out = Some(&mut out);
        options.ctx_in = Some(&context_in);
        options.ctx_out = Some(&mut context_out);
        options.repeat = repeat;
        let result = program
            .test_run(options)
            .expect("the kernel runs the program");
        out.truncate(result.data_size_out as usize);
        Outcome {
            verdict: result.return_value.cast_signed(),
            packet: out,
            mark: u32::from_ne_bytes(context_out[8..12].try_into().expect("four bytes")),
            nanoseconds: result.duration.as_nanos(),
        }
    }

    pub fn drops(&self, reason: tombolo_abi::Drop) -> u64 {
        let counters = self.datapath.counters().expect("counters");
        counters
            .drops
            .get(reason.name())
            .map_or(0, |(packets, _)| *packets)
    }

    pub fn slow_path(&self) -> u64 {
        self.datapath.counters().expect("counters").slow_path
    }

    /// All entries of the flow table.
    pub fn flows(&self) -> Vec<(FlowKey, Flow)> {
        self.datapath.flow_entries()
    }

    pub fn label(&self) -> String {
        format!("{} at {}", self.name, self.pins.display())
    }
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
            v4: "10.1.1.1".parse().ok(),
            v6: "fd00:10:1:1::1".parse().ok(),
        },
        pod_ranges: vec![net("10.1.1.0/24"), net("fd00:10:1:1::/64")],
        routing,
        cluster: ClusterId(1),
        identity_shift: 16,
        pod_mtu: 1450,
        masquerade: true,
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Size of the kernel's `struct __sk_buff`.
const CONTEXT: usize = 192;

/// The fields of `struct __sk_buff` that a test may set.
#[derive(Default)]
struct Context {
    mark: u32,
    ifindex: u32,
}

impl Context {
    fn bytes(&self) -> [u8; CONTEXT] {
        let mut bytes = [0; CONTEXT];
        bytes[8..12].copy_from_slice(&self.mark.to_ne_bytes());
        bytes[40..44].copy_from_slice(&self.ifindex.to_ne_bytes());
        bytes
    }
}
