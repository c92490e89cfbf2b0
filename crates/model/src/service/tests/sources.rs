//! Whom load balancers' addresses are for.

use super::*;
use ipnet::IpNet;
use std::net::IpAddr;

const BALANCER: &str = "203.0.113.7";
const BALANCER_V6: &str = "2001:db8::7";
const NODE_PORT: u16 = 30_080;

fn restricted(ranges: Option<&[&str]>) -> Definition {
    let mut port = http(80);
    port.node_port = Some(NODE_PORT);
    let mut definition = definition("10.96.0.10", global(Affinity::None));
    definition.cluster_ips.push(address("fd00:96::10"));
    definition.balancer_ips = vec![address(BALANCER), address(BALANCER_V6)];
    definition.ports = vec![port];
    definition.balancer_sources = ranges.map(sources);
    definition
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn sources(ranges: &[&str]) -> Sources {
    Sources::new(ranges.iter().map(|range| range.parse().expect("a range")))
}

fn path(bench: &Bench, ip: &str, port: u16) -> FrontendPath {
    let frontend = Frontend {
        ip: address(ip),
        port,
        protocol: Protocol::Tcp,
    };
    bench.kernel.tables.frontends[&frontend].clone()
}

/// What is said of an address: `open`, `closed`, or who may come.
fn said(path: &FrontendPath) -> String {
    match (&path.outside, &path.sources) {
        (None, None) => "closed".into(),
        (Some(_), None) => "open".into(),
        (None, Some(_)) => panic!("ranges of a frontend that is closed"),
        (Some(_), Some(ranges)) => {
            let ranges: Vec<String> = ranges.iter().map(IpNet::to_string).collect();
            ranges.join(" ")
        }
    }
}

#[test]
fn each_family_is_for_whom_its_ranges_say() {
    let table: [(Option<&[&str]>, &str, &str); 9] = [
        (None, "open", "open"),
        (Some(&[]), "closed", "closed"),
        (Some(&["198.51.100.0/24"]), "198.51.100.0/24", "closed"),
        (Some(&["2001:db8:1::/48"]), "closed", "2001:db8:1::/48"),
        (
            Some(&["198.51.100.0/24", "2001:db8:1::/48"]),
            "198.51.100.0/24",
            "2001:db8:1::/48",
        ),
        // All of one family, and nothing is said of the other.
        (Some(&["0.0.0.0/0"]), "open", "open"),
        (Some(&["::/0", "10.0.0.0/8"]), "10.0.0.0/8", "open"),
        // Halves make a whole, and what is within another is not told.
        (
            Some(&["0.0.0.0/1", "128.0.0.0/1", "::1/128"]),
            "open",
            "::1/128",
        ),
        (Some(&["10.1.0.0/16", "10.0.0.0/8"]), "10.0.0.0/8", "closed"),
    ];
    for (ranges, v4, v6) in table {
        let mut bench = Bench::ready();
        bench.define("web", restricted(ranges));
        let found = [BALANCER, BALANCER_V6].map(|ip| said(&path(&bench, ip, 80)));
        assert_eq!(found, [v4, v6], "{ranges:?}");
        // Node ports are for anybody, as with kube-proxy, and ClusterIPs for nobody outside.
        assert_eq!(said(&path(&bench, "192.0.2.1", NODE_PORT)), "open");
        assert_eq!(said(&path(&bench, "10.96.0.10", 80)), "closed");
        let closed = [(v4, "IPv4", BALANCER), (v6, "IPv6", BALANCER_V6)];
        let closed = closed.iter().filter(|(said, _, _)| *said == "closed");
        for (_, family, ip) in closed {
            let conditions = bench.view("web").conditions;
            let of = format!("no range of {family}: {ip} is closed to all");
            assert!(
                conditions.iter().any(|it| it.contains(&of)),
                "{conditions:?}"
            );
        }
    }
}

#[test]
fn pods_and_the_node_need_ranges_too() {
    let pods = config().pod_ranges[0];
    let node = IpNet::from(config().addresses[0]);
    let some = IpNet::new(pods.addr(), pods.prefix_len() + 1).expect("a half");
    let (pods, node, some) = (pods.to_string(), node.to_string(), some.to_string());
    let world = "198.51.100.0/24";
    let barred = |pods, node| Barred { pods, node };
    for (ranges, found, is_told) in [
        (vec![world], barred(true, true), false),
        (vec![world, &pods], barred(false, true), false),
        (vec![world, &node], barred(true, false), false),
        (vec![&pods, &node], barred(false, false), false),
        (vec!["0.0.0.0/0"], barred(false, false), false),
        (vec![&some], barred(true, true), true),
    ] {
        let mut bench = Bench::ready();
        bench.define("web", restricted(Some(&ranges)));
        assert_eq!(path(&bench, BALANCER, 80).barred, found, "{ranges:?}");
        assert_eq!(path(&bench, "10.96.0.10", 80).barred, Barred::default());
        let conditions = bench.view("web").conditions;
        let told = conditions
            .iter()
            .any(|it| it.contains("some of this node's pods"));
        assert_eq!(told, is_told, "{conditions:?}");
    }
}

#[test]
fn a_change_of_ranges_is_one_change_of_each_address() {
    let mut bench = Bench::ready();
    bench.define("web", restricted(Some(&["198.51.100.0/24", "::/0"])));
    bench.kernel.log.clear();
    bench.define("web", restricted(Some(&["192.0.2.0/24", "::/0"])));
    assert_eq!(bench.kernel.log.len(), 1, "{:?}", bench.kernel.log);
    assert_eq!(said(&path(&bench, BALANCER, 80)), "192.0.2.0/24");
    let view = bench.view("web").frontends;
    let told = view.iter().find(|it| it.kind == "LoadBalancer");
    let told = told.and_then(|it| it.sources.clone()).expect("ranges");
    assert_eq!(told, ["192.0.2.0/24".parse::<IpNet>().expect("a range")]);
    bench.define("web", restricted(None));
    assert_eq!(said(&path(&bench, BALANCER, 80)), "open");
}
