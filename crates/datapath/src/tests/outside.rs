//! Packets from outside for services: what they become, where they go, and how answers come back.

mod errors;
mod host;
mod maglev;
mod real;
mod sources;

use super::{
    node::{
        A, FAR, FAR_V6, NODE, NODE_V6, Node, PEER, PEER_V6, POD_A, POD_A_V6, POD_B, ROUTER,
        ROUTER_V6, WORLD, WORLD_V6, ip, net, on_node,
    },
    packets::{self, ACK, FIN, SYN, TCP, UDP, unwrap_vxlan},
    run::{At, NEXT, Outcome, REDIRECT, SHOT},
};
use aya::maps::{HashMap, Map, MapData};
use std::{collections::BTreeSet, net::IpAddr, ops::Range};
use tombolo_abi::{Drop, Ends, LENT_PORTS, LENT_PORTS_FIRST, Translation};
use tombolo_linux::{netlink::Netlink, route::Route};
use tombolo_model::{
    change::{Change, Direction, PolicyEntry},
    id::ClusterId,
    net::RoutingMode,
    service::{Backend, BackendPath, Frontend, FrontendPath, Protocol},
};

const NODE_PORT: u16 = 30_080;
const PORT: u16 = 8080;
const CLIENT_PORT: u16 = 40_000;
const UPLINK_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

type End = (IpAddr, u16);

fn protocol(number: u8) -> Protocol {
    Protocol::from_number(number).expect("TCP or UDP")
}

fn frontend(address: &str, number: u8) -> Frontend {
    Frontend {
        ip: ip(address),
        port: NODE_PORT,
        protocol: protocol(number),
    }
}

impl Node {
    /// Opens a frontend to the world, and leads it to these backends.
    fn open_to(&mut self, address: &str, number: u8, backends: &[&str]) -> Frontend {
        let frontend = frontend(address, number);
        for backend in backends {
            self.back(frontend, backend, 100);
        }
        self.open_as(frontend, Some(frontend));
        frontend
    }

    fn open_as(&mut self, frontend: Frontend, outside: Option<Frontend>) {
        let path = FrontendPath {
            outside,
            ..FrontendPath::inside(outside.unwrap_or(frontend))
        };
        self.apply(Change::FrontendSet(frontend, path));
    }

    fn back(&mut self, pool: Frontend, address: &str, weight: u16) {
        let path = BackendPath {
            cluster: ClusterId(1),
            weight,
            lost: false,
        };
        self.apply(Change::BackendSet(pool, backend(address), path));
    }

    fn route_to_world(&self) {
        let netlink = Netlink::open().expect("netlink");
        for (range, via) in [("0.0.0.0/0", PEER), ("::/0", PEER_V6)] {
            let route = Route {
                destination: net(range),
                via: Some(ip(via)),
                ifindex: self.uplink,
                source: None,
                mtu: None,
                scope_link: false,
                onlink: false,
                protocol: 4,
                metric: None,
                blackhole: false,
            };
            netlink.replace_route(&route).expect("a route");
        }
    }

    /// As if the table had been too small for them.
    fn forget_translations(&self) {
        let data = MapData::from_pin(self.map_path("TRANSLATIONS")).expect("the map is pinned");
        let mut map: HashMap<_, Ends, Translation> =
            Map::LruHashMap(data).try_into().expect("the map");
        let keys: Vec<Ends> = map.keys().collect::<Result<_, _>>().expect("keys");
        assert!(!keys.is_empty());
        keys.iter()
            .for_each(|key| map.remove(key).expect("an entry"));
    }

    /// From the world, through both programs at the uplink.
    fn arrive(&mut self, frame: &[u8]) -> Outcome {
        let (outcome, reason) = self.try_from_world(frame);
        assert_eq!(reason, None, "{outcome:?}");
        outcome
    }

    fn try_from_world(&mut self, frame: &[u8]) -> (Outcome, Option<Drop>) {
        let mut frame = frame.to_vec();
        frame[..6].copy_from_slice(&UPLINK_MAC);
        let (first, reason) = self.try_send(At::Uplink, &frame);
        if first.verdict != NEXT {
            return (first, reason);
        }
        self.try_send(At::Outside, &frame)
    }
}

fn backend(address: &str) -> Backend {
    Backend {
        ip: ip(address),
        port: PORT,
    }
}

fn packet(number: u8, from: End, to: End, flags: u8, payload: &[u8]) -> Vec<u8> {
    if number == TCP {
        packets::tcp(from, to, flags, payload)
    } else {
        packets::udp(from, to, payload)
    }
}

/// Both ends of a frame, whose checksums must be right.
fn ends(frame: &[u8]) -> (End, End) {
    assert!(packets::is_well_formed(frame), "{frame:02x?}");
    let packet = &frame[14..];
    let address = |bytes: &[u8]| match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).expect("four")),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).expect("sixteen")),
    };
    let (number, from, to, segment) = if packet[0] >> 4 == 4 {
        let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        let (from, to) = (address(&packet[12..16]), address(&packet[16..20]));
        (packet[9], from, to, &packet[20..length])
    } else {
        let (from, to) = (address(&packet[8..24]), address(&packet[24..40]));
        (packet[6], from, to, &packet[40..])
    };
    let has_none = number == UDP && segment[6..8] == [0, 0];
    assert!(
        has_none || packets::transport_checksum(from, to, number, segment) == 0,
        "the checksum of {frame:02x?}"
    );
    let port = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
    ((from, port(0)), (to, port(2)))
}

fn hops(frame: &[u8]) -> u8 {
    if frame[14] >> 4 == 4 {
        frame[22]
    } else {
        frame[21]
    }
}

/// Both protocols in both families: node, client, a local pod, a pod elsewhere, and the node's address among pods.
fn table() -> impl Iterator<Item = (u8, [&'static str; 5])> {
    let v4 = [NODE, WORLD, POD_A, FAR, ROUTER];
    let v6 = [NODE_V6, WORLD_V6, POD_A_V6, FAR_V6, ROUTER_V6];
    [v4, v6]
        .into_iter()
        .flat_map(|addresses| [TCP, UDP].map(|number| (number, addresses)))
}

#[test]
fn local_pods_see_the_client_and_answers_come_from_the_service() {
    for mode in [RoutingMode::Tunnel, RoutingMode::Native] {
        on_node(mode, |node| {
            node.route_to_world();
            for (number, [own, world, pod, _, _]) in table() {
                node.open_to(own, number, &[pod]);
                let client = (ip(world), CLIENT_PORT);
                let asked = (ip(own), NODE_PORT);
                let answers = (ip(pod), PORT);
                for flags in [SYN, ACK] {
                    let request = packet(number, client, asked, flags, b"ask");
                    let outcome = node.arrive(&request);
                    assert_eq!(outcome.verdict, REDIRECT);
                    assert_eq!(ends(&outcome.packet), (client, answers));
                    let answer = packet(number, answers, client, flags | ACK, b"say");
                    let outcome = node.pass(At::PodA, &answer);
                    assert_eq!(outcome.verdict, REDIRECT);
                    assert_eq!(ends(&outcome.packet), (asked, client));
                    assert_eq!(hops(&outcome.packet), 63);
                }
            }
        });
    }
}

#[test]
fn pods_elsewhere_see_this_node_and_judge_the_world() {
    on_node(RoutingMode::Tunnel, |node| {
        for (number, [own, world, _, far, router]) in table() {
            node.open_to(own, number, &[far]);
            let request = packet(
                number,
                (ip(world), CLIENT_PORT),
                (ip(own), NODE_PORT),
                SYN,
                b"",
            );
            let outcome = node.arrive(&request);
            assert_eq!(outcome.verdict, REDIRECT);
            let (identity, inner) = unwrap_vxlan(&outcome.packet).expect("a tunnel packet");
            assert_eq!(identity, 2, "the world asks, not the node");
            let (from, to) = ends(&inner);
            assert_eq!((from.0, to), (ip(router), (ip(far), PORT)));
            assert!((1024..30_000).contains(&from.1), "{from:?}");
            assert_eq!(hops(&inner), 63);
            let again = node.arrive(&request);
            let (_, inner) = unwrap_vxlan(&again.packet).expect("a tunnel packet");
            assert_eq!(ends(&inner).0, from, "the port is kept");
        }
    });
}

#[test]
fn answers_from_elsewhere_find_back() {
    on_node(RoutingMode::Native, |node| {
        node.route_to_world();
        for (number, [own, world, _, far, router]) in table() {
            node.open_to(own, number, &[far]);
            let (client, asked) = ((ip(world), CLIENT_PORT), (ip(own), NODE_PORT));
            let outcome = node.arrive(&packet(number, client, asked, SYN, b""));
            let (lent, answers) = ends(&outcome.packet);
            assert_eq!((lent.0, answers), (ip(router), (ip(far), PORT)));
            let outcome = node.arrive(&packet(number, answers, lent, SYN | ACK, b""));
            assert_eq!(outcome.verdict, REDIRECT);
            assert_eq!(ends(&outcome.packet), (asked, client));
            // To another port of the node's: its own stack's affair.
            let other = (lent.0, lent.1 ^ 1);
            let frame = packet(number, answers, other, SYN | ACK, b"");
            let outcome = node.arrive(&frame);
            assert_eq!(outcome.verdict, NEXT);
            assert_eq!(outcome.packet[14..], frame[14..]);
        }
    });
}

#[test]
fn what_is_for_no_service_is_not_touched() {
    on_node(RoutingMode::Tunnel, |node| {
        let web = node.open_to(NODE, TCP, &[POD_A]);
        // Led at sockets alone, as a ClusterIP is.
        let inside = frontend("10.96.0.10", TCP);
        node.open_as(inside, None);
        node.back(inside, POD_A, 100);
        let client = (ip(WORLD), CLIENT_PORT);
        for frame in [
            packets::tcp(client, (ip(NODE), 22), SYN, b""),
            packets::udp(client, (ip(NODE), NODE_PORT), b""),
            packets::tcp(client, (ip(WORLD), NODE_PORT), SYN, b""),
            packets::tcp(client, (inside.ip, NODE_PORT), SYN, b""),
            packets::echo(ip(WORLD), ip(NODE), true, 7),
        ] {
            let outcome = node.arrive(&frame);
            assert_eq!(outcome.verdict, NEXT);
            assert_eq!(outcome.packet[14..], frame[14..]);
        }
        // A frame that the link brings here for another machine.
        let mut frame = packets::tcp(client, (web.ip, NODE_PORT), SYN, b"");
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
        assert_eq!(node.pass(At::Outside, &frame).verdict, NEXT);
    });
}

#[test]
fn what_policy_denies_does_not_pass() {
    on_node(RoutingMode::Tunnel, |node| {
        node.open_to(NODE, TCP, &[POD_A]);
        node.apply(Change::PolicySet(
            A,
            vec![PolicyEntry::allow_all(Direction::Egress)],
        ));
        let request = packets::tcp((ip(WORLD), CLIENT_PORT), (ip(NODE), NODE_PORT), SYN, b"");
        let (outcome, reason) = node.try_from_world(&request);
        assert_eq!((outcome.verdict, reason), (SHOT, Some(Drop::IngressDenied)));
        node.allow_all(A);
        node.arrive(&request);
        // A verdict does not outlive what it rests on.
        node.apply(Change::PolicySet(
            A,
            vec![PolicyEntry::allow_all(Direction::Egress)],
        ));
        let more = packets::tcp((ip(WORLD), CLIENT_PORT), (ip(NODE), NODE_PORT), ACK, b"");
        assert_eq!(node.try_from_world(&more).1, Some(Drop::IngressDenied));
    });
}

#[test]
fn sources_are_vouched_for() {
    on_node(RoutingMode::Tunnel, |node| {
        for backend in [POD_A, FAR] {
            let web = node.open_to(NODE, TCP, &[backend]);
            let ask = |from: &str| {
                let to = (ip(NODE), NODE_PORT);
                packets::tcp((ip(from), CLIENT_PORT), to, SYN, b"")
            };
            for (from, reason) in [
                (POD_B, Drop::SpoofedSource),
                (NODE, Drop::SpoofedSource),
                (FAR, Drop::NotEncapsulated),
                ("10.2.1.99", Drop::NobodyThere),
            ] {
                let (_, found) = node.try_from_world(&ask(from));
                assert_eq!(found, Some(reason), "{from}");
            }
            // A process of another node, in whose name anybody on the link may ask.
            let outcome = node.arrive(&ask(PEER));
            if let Some((identity, _)) = unwrap_vxlan(&outcome.packet) {
                assert_eq!(identity, 2);
            }
            assert!(
                node.flows()
                    .iter()
                    .any(|(_, flow)| { flow.sides.iter().any(|side| side.identity == 2) })
            );
            node.apply(Change::BackendGone(web, self::backend(backend)));
        }
    });
}

#[test]
fn a_connection_keeps_its_backend() {
    on_node(RoutingMode::Tunnel, |node| {
        let web = node.open_to(NODE, TCP, &[POD_A]);
        let (client, asked) = ((ip(WORLD), CLIENT_PORT), (ip(NODE), NODE_PORT));
        let to = |outcome: &Outcome| ends(&outcome.packet).1.0;
        let send =
            |node: &mut Node, flags| to(&node.arrive(&packets::tcp(client, asked, flags, b"")));
        assert_eq!(send(node, SYN), ip(POD_A));
        // It drains, and another takes over.
        node.back(web, POD_B, 100);
        node.back(web, POD_A, 0);
        assert_eq!(send(node, SYN), ip(POD_A), "asked again");
        for _ in 0..20 {
            assert_eq!(send(node, ACK), ip(POD_A));
        }
        let other = packets::tcp((ip(WORLD), CLIENT_PORT + 1), asked, SYN, b"");
        assert_eq!(to(&node.arrive(&other)), ip(POD_B));
        // Closed by both, the client's port begins anew.
        assert_eq!(send(node, FIN | ACK), ip(POD_A));
        node.route_to_world();
        let closing = packets::tcp((ip(POD_A), PORT), client, FIN | ACK, b"");
        assert_eq!(ends(&node.pass(At::PodA, &closing).packet), (asked, client));
        assert_eq!(send(node, SYN), ip(POD_B));
    });
}

#[test]
fn datagrams_leave_a_backend_that_is_gone() {
    on_node(RoutingMode::Tunnel, |node| {
        let dns = node.open_to(NODE, UDP, &[POD_A]);
        let (client, asked) = ((ip(WORLD), CLIENT_PORT), (ip(NODE), NODE_PORT));
        let ask = packets::udp(client, asked, b"ask");
        let to = |node: &mut Node| ends(&node.arrive(&ask).packet).1.0;
        assert_eq!(to(node), ip(POD_A));
        node.back(dns, POD_B, 100);
        assert_eq!(to(node), ip(POD_A));
        node.apply(Change::BackendGone(dns, backend(POD_A)));
        assert_eq!(to(node), ip(POD_B));
        node.apply(Change::BackendGone(dns, backend(POD_B)));
        let (outcome, reason) = node.try_from_world(&ask);
        assert_eq!((outcome.verdict, reason), (SHOT, Some(Drop::NoBackend)));
    });
}

#[test]
fn new_connections_spread_over_all_backends() {
    on_node(RoutingMode::Tunnel, |node| {
        node.open_to(NODE, TCP, &[POD_A, POD_B]);
        let mut seen = BTreeSet::new();
        for port in 1000..1040 {
            let asked = (ip(NODE), NODE_PORT);
            let request = packets::tcp((ip(WORLD), port), asked, SYN, b"");
            seen.insert(ends(&node.arrive(&request).packet).1.0);
        }
        assert_eq!(seen, BTreeSet::from([ip(POD_A), ip(POD_B)]));
    });
}

#[test]
fn one_client_port_at_two_addresses_of_a_backend_is_told_apart() {
    on_node(RoutingMode::Native, |node| {
        node.route_to_world();
        let web = node.open_to(NODE, TCP, &[POD_A]);
        let balancer = frontend("203.0.113.7", TCP);
        node.open_as(balancer, Some(web));
        let (client, answers) = ((ip(WORLD), CLIENT_PORT), (ip(POD_A), PORT));
        for (asked, keeps_port) in [(web.ip, true), (balancer.ip, false)] {
            let asked = (asked, NODE_PORT);
            let outcome = node.arrive(&packets::tcp(client, asked, SYN, b""));
            let (from, to) = ends(&outcome.packet);
            assert_eq!((from.0, to), (ip(WORLD), answers));
            assert_eq!(from.1 == CLIENT_PORT, keeps_port);
            let answer = packets::tcp(answers, from, SYN | ACK, b"");
            let outcome = node.pass(At::PodA, &answer);
            assert_eq!(ends(&outcome.packet), (asked, client));
        }
    });
}

#[test]
fn datagrams_without_a_checksum_get_none() {
    on_node(RoutingMode::Tunnel, |node| {
        node.open_to(NODE, UDP, &[POD_A]);
        let mut ask = packets::udp((ip(WORLD), CLIENT_PORT), (ip(NODE), NODE_PORT), b"ask");
        ask[40..42].fill(0);
        let outcome = node.arrive(&ask);
        assert_eq!(outcome.packet[40..42], [0, 0]);
        assert_eq!(ends(&outcome.packet).1, (ip(POD_A), PORT));
    });
}

#[test]
fn fragments_and_options_are_refused() {
    on_node(RoutingMode::Tunnel, |node| {
        node.open_to(NODE, UDP, &[POD_A]);
        let mut first = packets::udp((ip(WORLD), CLIENT_PORT), (ip(NODE), NODE_PORT), b"ask");
        first[20] = 0x20;
        packets::set_v4_checksum(&mut first[14..]);
        let (_, reason) = node.try_from_world(&first);
        assert_eq!(reason, Some(Drop::Untranslatable));
    });
}

#[test]
fn clients_are_told_what_fits_the_tunnel() {
    on_node(RoutingMode::Tunnel, |node| {
        node.open_to(NODE, UDP, &[FAR]);
        let (client, asked) = ((ip(WORLD), CLIENT_PORT), (ip(NODE), NODE_PORT));
        let ask = packets::udp(client, asked, &[7; 1472]);
        let (outcome, reason) = node.try_from_world(&ask);
        assert_eq!(reason, Some(Drop::TooBig));
        assert_eq!(outcome.verdict, REDIRECT, "an answer to the client");
        let told = &outcome.packet[14..];
        assert_eq!((told[9], told[20], told[21]), (packets::ICMP, 3, 4));
        assert_eq!(told[16..20], [198, 51, 100, 1]);
        assert_eq!(u16::from_be_bytes([told[26], told[27]]), 1450);
        // It quotes what the client has sent.
        let quoted = &told[28..];
        assert_eq!(quoted[12..20], ask[26..34]);
        assert_eq!(quoted[20..24], ask[34..38]);
    });
}

#[test]
fn a_port_is_lent_once_for_each_backend_until_none_is_left() {
    on_node(RoutingMode::Tunnel, |node| {
        let ports = LENT_PORTS_FIRST as u16..(LENT_PORTS_FIRST + LENT_PORTS) as u16;
        let middle = ports.start + (ports.end - ports.start) / 2;
        for (own, far) in [(NODE, FAR), (NODE_V6, FAR_V6)] {
            node.open_to(own, UDP, &[far]);
        }
        let ask = |port, own, world| packets::udp((ip(world), port), (ip(own), NODE_PORT), b"?");
        let take = |node: &mut Node, ports: Range<u16>| {
            for port in ports {
                let frame = packets::udp((ip(ROUTER), port), (ip(FAR), PORT), b"");
                assert_eq!(node.try_send(At::Host, &frame).1, None, "{port}");
            }
        };
        take(node, ports.start..middle);
        let outcome = node.arrive(&ask(CLIENT_PORT, NODE, WORLD));
        let (_, inner) = unwrap_vxlan(&outcome.packet).expect("a tunnel packet");
        let (lent, _) = ends(&inner);
        assert!((middle..ports.end).contains(&lent.1), "{lent:?}");
        take(node, middle..ports.end);
        let (_, reason) = node.try_from_world(&ask(CLIENT_PORT + 1, NODE, WORLD));
        assert_eq!(reason, Some(Drop::PortsExhausted));
        node.arrive(&ask(CLIENT_PORT, NODE, WORLD));
        node.arrive(&ask(CLIENT_PORT + 1, NODE_V6, WORLD_V6));
    });
}

#[test]
fn backends_beyond_the_mesh_are_told_of() {
    on_node(RoutingMode::Tunnel, |node| {
        // One is somebody in the world, the other an address of the node's that its processes don't answer from to the world.
        for backend in ["203.0.113.50", ROUTER] {
            let web = node.open_to(NODE, TCP, &[backend]);
            let request = packets::tcp((ip(WORLD), CLIENT_PORT), (ip(NODE), NODE_PORT), SYN, b"");
            let (_, reason) = node.try_from_world(&request);
            assert_eq!(reason, Some(Drop::BackendNotInMesh), "{backend}");
            node.apply(Change::BackendGone(web, self::backend(backend)));
        }
    });
}
