//! These make real interfaces, in namespaces of their own; they need root.

use super::*;
use std::process;
use tombolo_model::id::EndpointId;

/// A node and a container.
struct Pair {
    node: Netns,
    container: Netns,
    names: [String; 2],
}

impl Pair {
    fn new(name: &str) -> Pair {
        let names = ["node", "pod"].map(|end| format!("tmbcni-{}-{name}-{end}", process::id()));
        let [node, container] = names
            .each_ref()
            .map(|name| Netns::create(name).expect("this test needs root"));
        Pair {
            node,
            container,
            names,
        }
    }

    /// Runs on the node, where the plugin runs.
    fn on_node<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.node.run(f).unwrap()
    }

    fn create(&self) -> Result<Made, Error> {
        self.on_node(|| create(&self.container, &attachment(), &plan()))
    }

    fn expected(&self, made: &Made) -> Expected {
        Expected {
            interface: "eth0".into(),
            mac: Some(made.mac),
            mtu: Some(1450),
            addresses: host_nets(&plan().addresses),
            routes: host_nets(&plan().gateways)
                .iter()
                .map(|gateway| (everything(gateway.addr()), gateway.addr()))
                .collect(),
            host_interface: "tmb3".into(),
            host_index: made.host_index,
        }
    }

    /// What the agent does when it has attached its programs.
    fn attach(&self, made: &Made) {
        let node = Netlink::open_in(&self.node).unwrap();
        node.set_up(made.host_index).unwrap();
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Netns::delete(name);
        }
    }
}

fn attachment() -> Attachment {
    Attachment {
        container: "c1".into(),
        interface: "eth0".into(),
    }
}

fn plan() -> EndpointPlan {
    let addresses = |v4: &str, v6: &str| PodAddresses {
        v4: Some(v4.parse().unwrap()),
        v6: Some(v6.parse().unwrap()),
    };
    EndpointPlan {
        id: EndpointId(3),
        host_interface: "tmb3".into(),
        addresses: addresses("10.1.1.2", "fd00::2"),
        gateways: addresses("10.1.1.1", "fd00::1"),
        mtu: 1450,
        gateway_mac: Mac::GATEWAY,
    }
}

#[test]
fn an_interface_is_made_verified_and_removed() {
    let pair = Pair::new("life");
    let made = pair.create().unwrap();
    let node = Netlink::open_in(&pair.node).unwrap();
    let host = node.link("tmb3").unwrap().unwrap();
    assert!(!host.up, "the agent sets the host's end up");
    assert_eq!(host.mac, Some(Mac::GATEWAY.0));
    assert_eq!((host.index, host.mtu), (made.host_index, 1450));

    let check = || pair.on_node(|| verify(&pair.container, &pair.expected(&made)));
    assert!(check().unwrap_err().to_string().contains("tmb3 is down"));
    pair.attach(&made);
    check().unwrap();

    pair.on_node(|| remove(&attachment())).unwrap();
    pair.on_node(|| remove(&attachment())).unwrap();
    assert_eq!(node.link("tmb3").unwrap(), None);
    let pod = Netlink::open_in(&pair.container).unwrap();
    assert_eq!(pod.link("eth0").unwrap(), None);
}

#[test]
fn a_pod_has_no_address_but_ours() {
    let pair = Pair::new("addresses");
    let made = pair.create().unwrap();
    pair.attach(&made);
    let pod = Netlink::open_in(&pair.container).unwrap();
    let link = pod.link("eth0").unwrap().unwrap();
    let ours = host_nets(&plan().addresses);
    for found in pod.addresses(Some(link.index)).unwrap() {
        let is_link_local =
            matches!(found.net, IpNet::V6(net) if net.addr().is_unicast_link_local());
        assert!(ours.contains(&found.net) || is_link_local, "{}", found.net);
    }
    let accept_ra = pair
        .container
        .run(|| sysctl::get("net/ipv6/conf/eth0/accept_ra"))
        .unwrap()
        .unwrap();
    assert_eq!(accept_ra.trim(), "0");
}

#[test]
fn what_is_broken_is_named() {
    let pair = Pair::new("broken");
    let made = pair.create().unwrap();
    pair.attach(&made);
    let pod = Netlink::open_in(&pair.container).unwrap();
    let index = pod.link("eth0").unwrap().unwrap().index;
    let complaint = |expected: Expected| {
        pair.on_node(|| verify(&pair.container, &expected))
            .unwrap_err()
            .to_string()
    };
    let expected = || pair.expected(&made);

    let other_mac = Expected {
        mac: Some(Mac([2; 6])),
        ..expected()
    };
    assert!(complaint(other_mac).contains("Ethernet address"));
    let renamed = Expected {
        interface: "eth1".into(),
        ..expected()
    };
    assert!(complaint(renamed).contains("no interface eth1"));
    let moved = Expected {
        host_index: made.host_index + 1,
        ..expected()
    };
    assert!(complaint(moved).contains("index"));

    pod.set_mtu(index, 1400).unwrap();
    assert!(complaint(expected()).contains("MTU of 1400, and 1450"));
    pod.set_mtu(index, 1450).unwrap();
    let [v4, v6] = host_nets(&plan().addresses)[..] else {
        panic!("two addresses");
    };
    pod.delete_address(index, v6).unwrap();
    assert!(complaint(expected()).contains("lost its address fd00::2/128"));
    pod.add_address(index, v6).unwrap();
    pod.delete_route(&default_route(index, "10.1.1.1".parse().unwrap()))
        .unwrap();
    assert!(complaint(expected()).contains("lost its route to 0.0.0.0/0"));
    pod.delete_address(index, v4).unwrap();
    pod.set_down(index).unwrap();
    assert!(complaint(expected()).contains("eth0 is down"));
}

#[test]
fn a_taken_name_leaves_nothing_behind() {
    let pair = Pair::new("taken");
    pair.create().unwrap();
    let before = Netlink::open_in(&pair.node).unwrap().links().unwrap();
    let Err(error) = pair.create() else {
        panic!("two interfaces of one name");
    };
    assert_eq!(error.code(), 4);
    assert!(error.to_string().contains("already has an interface eth0"));
    let after = Netlink::open_in(&pair.node).unwrap().links().unwrap();
    assert_eq!(before, after);
}

#[test]
fn the_rest_of_a_killed_addition_is_replaced() {
    let pair = Pair::new("rest");
    let node = Netlink::open_in(&pair.node).unwrap();
    node.create_veth(&Veth {
        name: "tmb3",
        mac: None,
        mtu: 0,
        peer_name: "stale",
        peer_mac: None,
        peer_netns: None,
    })
    .unwrap();
    pair.create().unwrap();
    assert_eq!(node.link("stale").unwrap(), None);
}

#[test]
fn only_named_attachments_are_kept() {
    let pair = Pair::new("keep");
    pair.create().unwrap();
    let node = Netlink::open_in(&pair.node).unwrap();
    pair.on_node(|| keep(&[attachment()])).unwrap();
    assert!(node.link("tmb3").unwrap().is_some());
    pair.on_node(|| keep(&[])).unwrap();
    assert_eq!(node.link("tmb3").unwrap(), None);
    assert!(node.link("lo").unwrap().is_some(), "not ours");
}

#[test]
fn an_alias_names_its_attachment() {
    assert_eq!(alias(&attachment()), "tombolo c1/eth0");
    assert_eq!(parse_alias("tombolo c1/eth0"), Some(attachment()));
    for other in ["", "tombolo", "tombolo c1", "uplink a/b"] {
        assert_eq!(parse_alias(other), None, "{other}");
    }
}
