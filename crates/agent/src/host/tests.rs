use super::*;

fn link(index: u32, name: &str, mtu: u32) -> Link {
    Link {
        index,
        name: name.into(),
        mac: None,
        mtu,
        up: true,
        running: true,
        kind: None,
        master: None,
        alias: None,
        peer: None,
    }
}

fn address(ifindex: u32, net: &str) -> Address {
    let net = net.parse().unwrap();
    Address {
        ifindex,
        net,
        scope: 0,
    }
}

fn names(named: &[&str], node: &[&str]) -> Result<Vec<String>> {
    let links = [
        link(1, "lo", 65536),
        link(2, "eth0", 1500),
        link(3, "eth1", 9000),
    ];
    let addresses = [
        address(2, "192.0.2.1/24"),
        address(2, "fd00:2::1/64"),
        address(3, "198.51.100.1/24"),
    ];
    let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
    let node: Vec<IpAddr> = node
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    let uplinks = choose(&links, &addresses, &named, &node)?;
    Ok(uplinks.into_iter().map(|uplink| uplink.name).collect())
}

#[test]
fn uplinks_are_those_with_the_nodes_addresses_unless_named() {
    assert_eq!(names(&[], &["192.0.2.1", "fd00:2::1"]).unwrap(), ["eth0"]);
    assert_eq!(
        names(&[], &["198.51.100.1", "fd00:2::1"]).unwrap(),
        ["eth1", "eth0"]
    );
    assert_eq!(names(&["eth1"], &["192.0.2.1"]).unwrap(), ["eth1"]);
}

#[test]
fn what_is_not_there_is_named_with_advice() {
    let error = names(&[], &["192.0.2.2"]).unwrap_err().to_string();
    assert!(
        error.contains("192.0.2.2") && error.contains("--node-ip"),
        "{error}"
    );
    let error = names(&["eth9"], &["192.0.2.1"]).unwrap_err().to_string();
    assert!(
        error.contains("eth9") && error.contains("--uplink"),
        "{error}"
    );
}

#[test]
fn pods_get_what_the_wrapping_leaves() {
    let cases = [
        (RoutingMode::Tunnel, false, 1450),
        (RoutingMode::Tunnel, true, 1430),
        (RoutingMode::Native, false, 1500),
        (RoutingMode::Native, true, 1500),
    ];
    for (routing, ipv6, expected) in cases {
        assert_eq!(pod_mtu(1500, routing, ipv6), expected, "{routing} {ipv6}");
    }
    let uplinks = ["a", "b"].map(|name| Uplink {
        name: name.into(),
        mtu: 9000 - 100 * name.len() as u32,
    });
    assert_eq!(underlay_mtu(&uplinks, None), 8900);
    assert_eq!(underlay_mtu(&uplinks, Some(1400)), 1400);
}

#[test]
fn a_pod_range_has_no_devices_address_in_it() {
    let links = [link(2, "eth0", 1500), link(7, "tombolo_host", 1500)];
    let addresses = [
        address(2, "192.0.2.1/24"),
        address(2, "10.1.1.77/24"),
        address(7, "10.1.2.1/32"),
    ];
    let check = |range: &str| check_apart(&links, &addresses, &[range.parse().unwrap()]);
    let refused = check("10.1.1.0/24").unwrap_err().to_string();
    assert!(
        refused.contains("10.1.1.77 of the device eth0"),
        "{refused}"
    );
    check("10.1.2.0/24").expect("the gateway of its own pods");
}
