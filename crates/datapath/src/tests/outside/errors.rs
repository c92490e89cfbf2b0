//! ICMP errors about what was translated: backends and clients are told, in words that they know.

use super::{
    super::shapes::{Complaint, complaint, complaint_to, destination_of, source_of},
    *,
};

const KINDS: [Complaint; 3] = [
    Complaint::Unreachable,
    Complaint::TimeExceeded,
    Complaint::TooBig,
];
pub const ROUTER_BEYOND: &str = "198.51.100.254";
pub const ROUTER_BEYOND_V6: &str = "2001:db8::fe";

fn router(like: IpAddr) -> IpAddr {
    ip(if like.is_ipv4() {
        ROUTER_BEYOND
    } else {
        ROUTER_BEYOND_V6
    })
}

/// What an error quotes, as a packet of its own, once all checksums before it were seen to be right.
fn quoted(error: &[u8]) -> Vec<u8> {
    assert!(packets::is_well_formed(error), "{error:02x?}");
    if source_of(error).is_ipv4() {
        assert_eq!(packets::fold(packets::sum(&error[34..])), 0, "{error:02x?}");
        let quoted = &error[42..];
        assert_eq!(
            packets::fold(packets::sum(&quoted[..20])),
            0,
            "{error:02x?}"
        );
        packets::ethernet(quoted.to_vec())
    } else {
        let (from, to) = (source_of(error), destination_of(error));
        let sum = packets::transport_checksum(from, to, packets::ICMPV6, &error[54..]);
        assert_eq!(sum, 0, "{error:02x?}");
        packets::ethernet(error[62..].to_vec())
    }
}

fn quoted_ends(error: &[u8]) -> (End, End) {
    let quoted = quoted(error);
    let at = if source_of(&quoted).is_ipv4() { 34 } else { 54 };
    let port = |at: usize| u16::from_be_bytes([quoted[at], quoted[at + 1]]);
    let (from, to) = (source_of(&quoted), destination_of(&quoted));
    ((from, port(at)), (to, port(at + 2)))
}

/// The frame itself, or that which a tunnel carries.
fn inner(outcome: &Outcome) -> Vec<u8> {
    match unwrap_vxlan(&outcome.packet) {
        Some((identity, inner)) => {
            assert_eq!(identity, 2, "whom the flow is of");
            inner
        }
        None => outcome.packet.clone(),
    }
}

#[test]
fn backends_are_told_what_became_of_their_answers() {
    for mode in [RoutingMode::Tunnel, RoutingMode::Native] {
        on_node(mode, |node| {
            for (number, [own, world, pod, far, _]) in table() {
                for (backend, verdict) in [(own, NEXT), (pod, REDIRECT), (far, REDIRECT)] {
                    let web = node.open_to(own, number, &[backend]);
                    let (client, asked) = ((ip(world), CLIENT_PORT), (ip(own), NODE_PORT));
                    let outcome = node.arrive(&packet(number, client, asked, SYN, b""));
                    let (seen, answers) = ends(&inner(&outcome));
                    assert_eq!(answers.0, ip(backend));
                    let sent = packet(number, asked, client, ACK, &[7; 64]);
                    for kind in KINDS {
                        let error = complaint(router(ip(world)), kind, &sent, 60);
                        let outcome = node.arrive(&error);
                        assert_eq!(outcome.verdict, verdict, "{backend} {kind:?}");
                        let told = inner(&outcome);
                        assert_eq!(source_of(&told), router(ip(world)));
                        assert_eq!(destination_of(&told), ip(backend));
                        assert_eq!(quoted_ends(&told), (answers, seen));
                    }
                    node.apply(Change::BackendGone(web, self::backend(backend)));
                    node.forget_translations();
                }
            }
        });
    }
}

#[test]
fn errors_about_nothing_of_a_services_are_not_touched() {
    on_node(RoutingMode::Tunnel, |node| {
        for (number, [own, world, pod, _, _]) in table() {
            node.open_to(own, number, &[pod]);
            let (client, asked) = ((ip(world), CLIENT_PORT), (ip(own), NODE_PORT));
            node.arrive(&packet(number, client, asked, SYN, b""));
            let other = (client.0, CLIENT_PORT + 1);
            let unknown = packet(number, asked, other, ACK, &[7; 64]);
            let of_node = packet(number, (ip(own), 22), client, ACK, &[7; 64]);
            let known = packet(number, asked, client, ACK, &[7; 64]);
            let (kind, turned) = if ip(own).is_ipv4() {
                ((3, 4), "203.0.113.7")
            } else {
                ((2, 0), "2001:db8:7::7")
            };
            let router = router(ip(world));
            for frame in [
                complaint(router, Complaint::TooBig, &unknown, 60),
                complaint(router, Complaint::TooBig, &of_node, 60),
                // For somebody else than who has sent what it quotes.
                complaint_to(router, ip(turned), kind, &known, 60),
                // Without the ports.
                complaint(router, Complaint::TooBig, &known, 22),
            ] {
                let outcome = node.arrive(&frame);
                assert_eq!(outcome.verdict, NEXT);
                assert_eq!(outcome.packet[14..], frame[14..]);
            }
        }
    });
}

#[test]
fn nobody_is_told_whom_policy_keeps_from_the_client() {
    on_node(RoutingMode::Tunnel, |node| {
        node.open_to(NODE, TCP, &[POD_A]);
        let (client, asked) = ((ip(WORLD), CLIENT_PORT), (ip(NODE), NODE_PORT));
        node.arrive(&packets::tcp(client, asked, SYN, b""));
        let only_out = vec![PolicyEntry::allow_all(Direction::Egress)];
        node.apply(Change::PolicySet(A, only_out));
        let sent = packets::tcp(asked, client, ACK, &[7; 64]);
        let error = complaint(ip(ROUTER_BEYOND), Complaint::TooBig, &sent, 60);
        let (_, reason) = node.try_from_world(&error);
        assert_eq!(reason, Some(Drop::IcmpWithoutFlow));
    });
}

/// The error that comes out is one of the service, about what the client has sent.
fn check_told(outcome: &Outcome, error: &[u8], asked: End, client: End) {
    let told = &outcome.packet;
    assert_eq!((source_of(told), destination_of(told)), (asked.0, client.0));
    assert_eq!(quoted_ends(told), (client, asked));
    let at = if source_of(told).is_ipv4() { 34 } else { 54 };
    assert_eq!(told[at..at + 2], error[at..at + 2], "the kind");
    assert_eq!(told[at + 4..at + 8], error[at + 4..at + 8], "the size");
    assert_eq!(told.len(), error.len());
}

#[test]
fn clients_are_told_what_became_of_their_packets() {
    for mode in [RoutingMode::Tunnel, RoutingMode::Native] {
        on_node(mode, |node| {
            node.route_to_world();
            for (number, [own, world, pod, far, _]) in table() {
                for backend in [own, pod, far] {
                    if backend == far && mode == RoutingMode::Tunnel {
                        // Comes by the kernel's VXLAN device, which the test-run knows nothing of.
                        continue;
                    }
                    let web = node.open_to(own, number, &[backend]);
                    let (client, asked) = ((ip(world), CLIENT_PORT), (ip(own), NODE_PORT));
                    let outcome = node.arrive(&packet(number, client, asked, SYN, b""));
                    let (seen, answers) = ends(&inner(&outcome));
                    assert_eq!(answers, (ip(backend), PORT));
                    let sent = packet(number, seen, answers, ACK, &[7; 64]);
                    for kind in KINDS {
                        let from = |ip| complaint(ip, kind, &sent, 60);
                        if backend == own {
                            let error = from(ip(own));
                            let outcome = node.pass(At::Leaving, &error);
                            assert_eq!(outcome.verdict, NEXT);
                            check_told(&outcome, &error, asked, client);
                            assert_eq!(hops(&outcome.packet), hops(&error), "it begins here");
                            continue;
                        }
                        let (error, outcome) = if backend == pod {
                            let error = from(ip(pod));
                            let outcome = node.pass(At::PodA, &error);
                            (error, outcome)
                        } else {
                            let error = from(router(ip(far)));
                            let outcome = node.arrive(&error);
                            (error, outcome)
                        };
                        assert_eq!(outcome.verdict, REDIRECT, "{backend} {kind:?}");
                        check_told(&outcome, &error, asked, client);
                        assert_eq!(hops(&outcome.packet), hops(&error) - 1);
                    }
                    node.apply(Change::BackendGone(web, self::backend(backend)));
                    node.forget_translations();
                }
            }
        });
    }
}

#[test]
fn clients_are_not_told_by_whom_it_does_not_concern() {
    on_node(RoutingMode::Native, |node| {
        node.route_to_world();
        for (number, [own, world, pod, _, _]) in table() {
            node.open_to(own, number, &[pod]);
            let (client, asked) = ((ip(world), CLIENT_PORT), (ip(own), NODE_PORT));
            node.arrive(&packet(number, client, asked, SYN, b""));
            let answers = (ip(pod), PORT);
            let sent = packet(number, client, answers, ACK, &[7; 64]);
            let error = complaint(ip(pod), Complaint::Unreachable, &sent, 60);
            // Another pod in the first one's name, and the first one of what it has not received.
            let (_, reason) = node.try_send(At::PodB, &error);
            assert!(reason.is_some(), "{number} {pod}");
            let other = packet(number, (client.0, 7), answers, ACK, &[7; 64]);
            let error = complaint(ip(pod), Complaint::Unreachable, &other, 60);
            let (_, reason) = node.try_send(At::PodA, &error);
            assert_eq!(reason, Some(Drop::IcmpWithoutFlow), "{number} {pod}");
        }
    });
}
