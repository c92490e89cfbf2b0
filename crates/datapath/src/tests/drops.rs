//! Every reason to drop a packet, at each program that can have it: counted once, and told once.

use super::{node::*, packets::*, run::*, shapes::*};
use aya::maps::{MapData, RingBuf};
use std::{collections::BTreeSet, net::IpAddr};
use tombolo_abi::{Drop, Event, event_kind};
use tombolo_model::{
    change::{Change, NodePath, Place, Reach},
    id::{ClusterId, Identity, NodeSlot},
    net::RoutingMode,
    service::{Backend, BackendPath, Frontend, FrontendPath, Protocol},
};

/// The kernel would have to run out of memory for the first ones; all ports are lent in a test of `outside`.
const OUT_OF_REACH: [Drop; 4] = [
    Drop::FlowTableFull,
    Drop::EncapFailed,
    Drop::DecapFailed,
    Drop::PortsExhausted,
];
/// On a node that no route leads to.
const LOST: &str = "10.3.1.5";

fn syn(from: &str, to: &str) -> Vec<u8> {
    tcp((ip(from), 4000), (ip(to), 80), SYN, b"")
}

fn datagram(from: &str, to: &str, size: usize) -> Vec<u8> {
    udp((ip(from), 4000), (ip(to), 53), &vec![7; size])
}

fn tail(from: &str, to: &str) -> Vec<u8> {
    fragments(&datagram(from, to, 64), 1, 16).1
}

fn error(from: &str, about: &[u8]) -> Vec<u8> {
    complaint(ip(from), Complaint::Unreachable, about, 48)
}

fn last_hop(mut frame: Vec<u8>) -> Vec<u8> {
    set_hops(&mut frame, 1);
    frame
}

fn of_type(mut frame: Vec<u8>, ethertype: [u8; 2]) -> Vec<u8> {
    frame[12..14].copy_from_slice(&ethertype);
    frame
}

const LLDP: [u8; 2] = [0x88, 0xcc];

fn from_pods() -> Vec<(Drop, Vec<u8>)> {
    let far_v6 = datagram(POD_A_V6, FAR_V6, 8);
    vec![
        (Drop::Malformed, syn(POD_A, FAR)[..40].to_vec()),
        (Drop::UnknownEthertype, of_type(syn(POD_A, FAR), LLDP)),
        (Drop::SpoofedSource, syn(POD_B, FAR)),
        (
            Drop::Malformed,
            arp(1, [10, 1, 1, 5], [10, 1, 1, 1])[..30].to_vec(),
        ),
        (Drop::IngressDenied, syn(POD_A, POD_B)),
        (Drop::NobodyThere, syn(POD_A, "10.2.1.99")),
        (Drop::NodeUnreachable, syn(POD_A, LOST)),
        (Drop::FragmentWithoutHead, tail(POD_A, FAR)),
        (
            Drop::IcmpWithoutFlow,
            error(POD_A, &syn("10.2.1.77", POD_A)),
        ),
        (Drop::TooBig, datagram(POD_A, FAR, 1472)),
        (Drop::HopLimit, last_hop(syn(POD_A_V6, FAR_V6))),
        (Drop::LinkLocal, syn(POD_A, "224.0.0.1")),
        (Drop::LinkLocal, syn(POD_A_V6, "fe80::1")),
        (Drop::ExtensionHeaders, with_extensions(&far_v6, &[60; 9])),
    ]
}

fn from_the_host() -> Vec<(Drop, Vec<u8>)> {
    let far_v6 = datagram(ROUTER_V6, FAR_V6, 8);
    vec![
        (Drop::Malformed, syn(ROUTER, FAR)[..40].to_vec()),
        (Drop::UnknownEthertype, of_type(syn(ROUTER, FAR), LLDP)),
        (Drop::SpoofedSource, syn(FAR, POD_A)),
        (Drop::IngressDenied, syn(ROUTER, POD_B)),
        (Drop::NobodyThere, syn(ROUTER, "10.2.1.99")),
        (Drop::NobodyThere, syn(ROUTER, WORLD)),
        (Drop::NodeUnreachable, syn(ROUTER, LOST)),
        (Drop::FragmentWithoutHead, tail(ROUTER, POD_A)),
        (Drop::IcmpWithoutFlow, error(NODE, &syn(POD_A, WORLD))),
        (Drop::TooBig, datagram(ROUTER, FAR, 1472)),
        (Drop::HopLimit, last_hop(syn(ROUTER, FAR))),
        (Drop::LinkLocal, syn(ROUTER, "224.0.0.1")),
        (Drop::ExtensionHeaders, with_extensions(&far_v6, &[60; 9])),
    ]
}

fn from_the_underlay() -> Vec<(Drop, Vec<u8>)> {
    let near_v6 = datagram(FAR_V6, POD_A_V6, 8);
    let plain = [
        (Drop::Malformed, syn(WORLD, POD_A)[..40].to_vec()),
        (Drop::SpoofedSource, syn(NODE, POD_A)),
        (Drop::IngressDenied, syn(WORLD, POD_B)),
        (Drop::NobodyThere, syn(WORLD, "10.1.1.99")),
        (Drop::FragmentWithoutHead, tail(WORLD, POD_A)),
        (Drop::IcmpWithoutFlow, error(WORLD, &syn(POD_A, FAR))),
        (Drop::NotEncapsulated, syn(FAR, POD_A)),
    ];
    let inner = [
        (Drop::Malformed, syn(FAR, POD_A)[..40].to_vec()),
        (Drop::UnknownEthertype, of_type(syn(FAR, POD_A), LLDP)),
        (Drop::SpoofedSource, syn(POD_B, POD_A)),
        (Drop::SpoofedSource, syn(FARTHER, POD_A)),
        (Drop::IngressDenied, syn(FAR, POD_B)),
        (Drop::NobodyThere, syn(FAR, "10.1.1.99")),
        (Drop::NotOurs, syn(FAR, FARTHER)),
        (Drop::FragmentWithoutHead, tail(FAR, POD_A)),
        (Drop::IcmpWithoutFlow, error(FAR, &syn(POD_A, FAR))),
        (Drop::LinkLocal, syn(FAR, "224.0.0.1")),
        (Drop::ExtensionHeaders, with_extensions(&near_v6, &[60; 9])),
    ];
    let claims = [
        (
            Drop::UnknownNode,
            vxlan(ip(WORLD), ip(NODE), ID_FAR, &syn(FAR, POD_A)),
        ),
        (
            Drop::ForeignIdentity,
            vxlan(ip(PEER), ip(NODE), ID_A, &syn(FAR, POD_A)),
        ),
    ];
    let inner = inner.map(|(reason, frame)| (reason, by_tunnel(&frame)));
    plain.into_iter().chain(inner).chain(claims).collect()
}

/// For services on the ports 80, 82 and 53.
fn from_outside() -> Vec<(Drop, Vec<u8>)> {
    let to = |port| tcp((ip(WORLD), 4000), (ip(NODE), port), SYN, b"");
    let (first, _) = fragments(&datagram(WORLD, NODE, 64), 0, 16);
    let table = [
        (Drop::NoBackend, to(80)),
        (Drop::BackendNotInMesh, to(82)),
        (Drop::SourceNotAdmitted, to(84)),
        (Drop::Untranslatable, first),
    ];
    let for_the_uplink = |(reason, mut frame): (Drop, Vec<u8>)| {
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        (reason, frame)
    };
    table.map(for_the_uplink).into()
}

fn serve_outside(node: &mut Node) {
    for (port, protocol, backend) in [
        (80, Protocol::Tcp, None),
        (82, Protocol::Tcp, Some("203.0.113.50")),
        (53, Protocol::Udp, Some(POD_A)),
        (83, Protocol::Tcp, Some(POD_A)),
        (84, Protocol::Tcp, Some(POD_A)),
    ] {
        let frontend = Frontend {
            ip: ip(NODE),
            port,
            protocol,
        };
        if let Some(address) = backend {
            let backend = Backend {
                ip: ip(address),
                port: 8080,
            };
            let path = BackendPath {
                cluster: ClusterId(1),
                weight: 100,
                lost: false,
            };
            node.apply(Change::BackendSet(frontend, backend, path));
        }
        let path = FrontendPath {
            outside: Some(frontend),
            sources: (port == 84).then(|| [net("192.0.2.0/24")].into()),
            ..FrontendPath::inside(frontend)
        };
        node.apply(Change::FrontendSet(frontend, path));
    }
}

/// The test's node has no route to the world.
fn answer_without_a_way(node: &mut Node) {
    let mut ask = tcp((ip(WORLD), 4000), (ip(NODE), 83), SYN, b"");
    ask[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    node.pass(At::Outside, &ask);
    let answer = tcp((ip(POD_A), 8080), (ip(WORLD), 4000), SYN | ACK, b"");
    node.refuse(At::PodA, &answer, Drop::NoRouteToClient);
}

fn prepare(node: &mut Node) {
    serve_outside(node);
    let path = NodePath {
        cluster: ClusterId(2),
        address: ip("203.0.113.50"),
        routing: RoutingMode::Tunnel,
    };
    node.apply(Change::NodeSet(NodeSlot(3), path));
    let reach = Reach {
        identity: Identity(ID_FAR),
        place: Place::Remote(NodeSlot(3)),
    };
    node.apply(Change::AddressSet(net(LOST), reach));
    node.apply(Change::PolicySet(B, vec![]));
}

fn events(ring: &mut RingBuf<MapData>) -> Vec<Event> {
    let mut found = Vec::new();
    while let Some(item) = ring.next() {
        assert_eq!(item.len(), size_of::<Event>());
        // SAFETY: as long as an event, of which any bits are one; the read does not ask for alignment.
        found.push(unsafe { item.as_ptr().cast::<Event>().read_unaligned() });
    }
    found
}

/// The innermost source and destination that a frame shows; unspecified ones where it shows none.
fn ends(frame: &[u8]) -> Option<[IpAddr; 2]> {
    let frame = match unwrap_vxlan(frame) {
        Some((_, inner)) => inner,
        None => frame.to_vec(),
    };
    let is_ip = matches!(frame[12..14], [8, 0] | [0x86, 0xdd]);
    is_ip.then(|| [source_of(&frame), destination_of(&frame)])
}

#[test]
fn each_reason_is_reached_counted_and_told() {
    on_node(RoutingMode::Tunnel, |node| {
        prepare(node);
        let mut ring: RingBuf<MapData> =
            crate::maps::take(node.datapath.ebpf(), "EVENTS").expect("the ring");
        let overlay = vec![(Drop::UnknownNode, syn(FARTHER, POD_B))];
        let mut reached = BTreeSet::new();
        for (at, seen_at, table) in [
            (At::PodA, 0, from_pods()),
            (At::Host, 1, from_the_host()),
            (At::Uplink, 2, from_the_underlay()),
            (At::Overlay, 3, overlay),
            (At::Outside, 2, from_outside()),
        ] {
            for (reason, frame) in table {
                let (_, found) = node.try_send(at, &frame);
                assert_eq!(found, Some(reason), "{at:?}: {frame:02x?}");
                reached.insert(reason as u32);
                let told = events(&mut ring);
                if reason == Drop::LinkLocal {
                    assert!(told.is_empty(), "nobody wants to hear of chatter");
                    continue;
                }
                assert_eq!(told.len(), 1, "{at:?}: {reason:?}");
                let event = told[0];
                assert_eq!(event.kind, event_kind::DROPPED);
                assert_eq!((event.reason, event.seen_at), (reason as u8, seen_at));
                assert_eq!(event.bytes as usize, frame.len());
                let shown = [event.source, event.destination].map(crate::maps::from_addr);
                // Nobody reads on where a header is broken, or before it is known who speaks.
                let is_read = reason != Drop::Malformed && at != At::Overlay;
                let wanted = ends(&frame).filter(|_| is_read);
                assert_eq!(shown, wanted.unwrap_or([ip("::"); 2]), "{at:?}: {reason:?}");
            }
        }
        answer_without_a_way(node);
        reached.insert(Drop::NoRouteToClient as u32);
        node.apply(Change::PolicySet(A, vec![]));
        node.refuse(At::PodA, &syn(POD_A, FAR), Drop::EgressDenied);
        node.apply(Change::EndpointGone(A));
        for (at, frame) in [
            (At::PodA, syn(POD_A, FAR)),
            (At::Host, syn(ROUTER, POD_A)),
            (At::Uplink, by_tunnel(&syn(FAR, POD_A))),
        ] {
            node.refuse(at, &frame, Drop::EndpointGone);
        }
        reached.extend([Drop::EgressDenied as u32, Drop::EndpointGone as u32]);
        let out_of_reach = OUT_OF_REACH.map(|reason| reason as u32);
        for reason in Drop::ALL.map(|reason| reason as u32) {
            let wanted = !out_of_reach.contains(&reason);
            assert_eq!(reached.contains(&reason), wanted, "{reason}");
        }
    });
}
