//! The network that a node stands in: the node itself, a neighbour outside, and a cable between them.

use tombolo_linux::{link::Veth, netlink::Netlink, netns::Netns};

pub const ADDRESS: &str = "172.31.77.2";
pub const ADDRESS_V6: &str = "fd00:31:77::2";
pub const OUTSIDE: &str = "172.31.77.1";
const OUTSIDE_V6: &str = "fd00:31:77::1";

/// Makes all of it; the answer is the node's namespace.
pub fn lay(name: &str) -> Netns {
    let node = Netns::create(name).expect("this test needs root");
    let outer = Netns::create(&outside(name)).expect("this test needs root");
    let netlink = Netlink::open_in(&node).expect("netlink");
    netlink
        .create_veth(&Veth {
            name: "eth0",
            mac: None,
            mtu: 1500,
            peer_name: "eth0",
            peer_mac: None,
            peer_netns: Some(&outer),
        })
        .expect("a cable");
    for (netns, addresses) in [
        (&node, [ADDRESS, ADDRESS_V6]),
        (&outer, [OUTSIDE, OUTSIDE_V6]),
    ] {
        let netlink = Netlink::open_in(netns).expect("netlink");
        let eth0 = netlink.link("eth0").expect("a link").expect("eth0").index;
        for (address, length) in addresses.into_iter().zip([24, 64]) {
            let net = format!("{address}/{length}").parse().expect("a prefix");
            netlink.add_address(eth0, net).expect("an address");
        }
        netlink.set_up(eth0).expect("eth0 up");
    }
    node
}

pub fn remove(name: &str) {
    let _ = Netns::delete(name);
    let _ = Netns::delete(&outside(name));
}

fn outside(name: &str) -> String {
    format!("{name}-out")
}
