//! Backends that are processes of the very node that was asked: what comes in is left to its stack, and what its stack answers is
//! the service's where it leaves.

use super::*;
use crate::{Datapath, datapath::leaving_pin};

pub const BALANCER: &str = "203.0.113.7";
pub const BALANCER_V6: &str = "2001:db8:7::7";

/// Both protocols in both families: the node, a client, and an address that is routed to the node.
pub fn all() -> impl Iterator<Item = (u8, [&'static str; 3])> {
    let v4 = [NODE, WORLD, BALANCER];
    let v6 = [NODE_V6, WORLD_V6, BALANCER_V6];
    [v4, v6]
        .into_iter()
        .flat_map(|addresses| [TCP, UDP].map(|number| (number, addresses)))
}

impl Node {
    fn is_looked_at_leaving(&self) -> bool {
        leaving_pin(&self.datapath.config().pins, "up").exists()
    }

    /// What the node's stack sends by the uplink.
    fn leave(&mut self, frame: &[u8]) -> Outcome {
        let outcome = self.pass(At::Leaving, frame);
        assert_eq!(outcome.verdict, NEXT);
        outcome
    }

    fn start_again(&mut self) {
        // The test node silences the device, and then it takes no addresses.
        tombolo_linux::sysctl::set("net/ipv6/conf/tombolo_host/disable_ipv6", "0").expect("IPv6");
        let config = self.datapath.config().clone();
        self.datapath = Datapath::open(config).expect("opened again");
    }
}

#[test]
fn processes_see_the_client_and_answers_come_from_the_service() {
    for mode in [RoutingMode::Tunnel, RoutingMode::Native] {
        on_node(mode, |node| {
            for (number, [own, world, balancer]) in all() {
                let web = node.open_to(own, number, &[own]);
                let balanced = frontend(balancer, number);
                node.open_as(balanced, Some(web));
                let answers = (ip(own), PORT);
                for (asked, port) in [(web.ip, CLIENT_PORT), (balanced.ip, CLIENT_PORT + 1)] {
                    let (asked, client) = ((asked, NODE_PORT), (ip(world), port));
                    for flags in [SYN, ACK, FIN | ACK] {
                        let request = packet(number, client, asked, flags, b"ask");
                        let outcome = node.arrive(&request);
                        assert_eq!(outcome.verdict, NEXT);
                        assert_eq!(ends(&outcome.packet), (client, answers));
                        assert_eq!(hops(&outcome.packet), 64, "it has arrived");
                        let answer = packet(number, answers, client, flags | ACK, b"say");
                        let outcome = node.leave(&answer);
                        assert_eq!(ends(&outcome.packet), (asked, client));
                        assert_eq!(hops(&outcome.packet), 64, "it begins here");
                    }
                }
            }
        });
    }
}

#[test]
fn known_connections_take_the_quick_way() {
    on_node(RoutingMode::Tunnel, |node| {
        node.open_to(NODE, TCP, &[NODE]);
        let (client, asked) = ((ip(WORLD), CLIENT_PORT), (ip(NODE), NODE_PORT));
        node.arrive(&packets::tcp(client, asked, SYN, b""));
        let slow = node.slow_path();
        node.arrive(&packets::tcp(client, asked, ACK, b"more"));
        assert_eq!(node.slow_path(), slow);
    });
}

#[test]
fn nothing_is_looked_at_until_a_service_leads_here_from_outside() {
    on_node(RoutingMode::Tunnel, |node| {
        node.open_to(NODE, TCP, &[POD_A, FAR]);
        // As that of the API server is, which nobody outside is led to.
        let inside = frontend("10.96.0.1", TCP);
        node.open_as(inside, None);
        node.back(inside, NODE, 100);
        assert!(!node.is_looked_at_leaving());
        node.start_again();
        assert!(!node.is_looked_at_leaving());
        node.open_as(inside, Some(inside));
        assert!(node.is_looked_at_leaving());
        // For connections that outlive what has led them.
        node.open_as(inside, None);
        node.start_again();
        assert!(node.is_looked_at_leaving());
    });
    on_node(RoutingMode::Tunnel, |node| {
        let web = node.open_to(NODE, UDP, &[]);
        assert!(!node.is_looked_at_leaving());
        node.back(web, NODE_V6, 100);
        assert!(node.is_looked_at_leaving());
    });
}

#[test]
fn connections_go_on_under_programs_that_are_replaced() {
    on_node(RoutingMode::Tunnel, |node| {
        node.open_to(NODE, TCP, &[NODE]);
        let (client, asked) = ((ip(WORLD), CLIENT_PORT), (ip(NODE), NODE_PORT));
        let answers = (ip(NODE), PORT);
        node.arrive(&packets::tcp(client, asked, SYN, b""));
        let answer = packets::tcp(answers, client, ACK, b"say");
        for replace in [
            |node: &mut Node| node.datapath.replace_programs().expect("replaced"),
            Node::start_again,
        ] {
            replace(node);
            assert_eq!(ends(&node.leave(&answer).packet), (asked, client));
            let outcome = node.arrive(&packets::tcp(client, asked, ACK, b""));
            assert_eq!(ends(&outcome.packet), (client, answers));
        }
    });
}

#[test]
fn what_is_no_answer_leaves_as_it_is() {
    on_node(RoutingMode::Tunnel, |node| {
        let web = node.open_to(NODE, UDP, &[NODE]);
        let (client, answers) = ((ip(WORLD), CLIENT_PORT), (ip(NODE), PORT));
        node.arrive(&packets::udp(client, (web.ip, NODE_PORT), b"ask"));
        let other = (ip(WORLD), CLIENT_PORT + 1);
        let inner = packets::udp(answers, client, b"say");
        for frame in [
            packets::udp(answers, other, b"to another"),
            packets::udp((ip(NODE), PORT + 1), client, b"from another"),
            packets::tcp(answers, client, ACK, b"by another protocol"),
            packets::udp((ip(POD_A), PORT), client, b"of a pod"),
            packets::udp((ip(NODE_V6), PORT), (ip(WORLD_V6), CLIENT_PORT), b""),
            packets::vxlan(ip(NODE), ip(PEER), 2, &inner),
            packets::vxlan(ip(NODE_V6), ip(PEER_V6), 2, &inner),
            packets::echo(ip(NODE), ip(WORLD), false, 7),
            // The client's own, as if this node was on its way.
            packets::udp(client, (web.ip, NODE_PORT), b"ask"),
        ] {
            assert_eq!(node.leave(&frame).packet, frame);
        }
        let mut frame = packets::udp(answers, client, b"say");
        frame[12..14].copy_from_slice(&[8, 6]);
        assert_eq!(node.leave(&frame).packet, frame);
        // And the answer is one.
        let outcome = node.leave(&packets::udp(answers, client, b"say"));
        assert_eq!(ends(&outcome.packet), ((web.ip, NODE_PORT), client));
    });
}

#[test]
fn a_client_whose_port_is_that_of_tunnels_is_answered() {
    on_node(RoutingMode::Tunnel, |node| {
        let web = node.open_to(NODE, UDP, &[NODE]);
        let client = (ip(WORLD), tombolo_abi::VXLAN_PORT);
        node.arrive(&packets::udp(client, (web.ip, NODE_PORT), b"ask"));
        let outcome = node.leave(&packets::udp((ip(NODE), PORT), client, b"say it"));
        assert_eq!(ends(&outcome.packet), ((web.ip, NODE_PORT), client));
    });
}

#[test]
fn one_client_port_at_two_addresses_of_a_process_is_told_apart() {
    on_node(RoutingMode::Tunnel, |node| {
        for (number, [own, world, balancer]) in all() {
            let web = node.open_to(own, number, &[own]);
            let balanced = frontend(balancer, number);
            node.open_as(balanced, Some(web));
            let (client, answers) = ((ip(world), CLIENT_PORT), (ip(own), PORT));
            for (asked, keeps_port) in [(web.ip, true), (balanced.ip, false)] {
                let asked = (asked, NODE_PORT);
                let outcome = node.arrive(&packet(number, client, asked, SYN, b""));
                let (from, to) = ends(&outcome.packet);
                assert_eq!((from.0, to), (client.0, answers));
                assert_eq!(from.1 == CLIENT_PORT, keeps_port);
                let answer = packet(number, answers, from, SYN | ACK, b"");
                assert_eq!(ends(&node.leave(&answer).packet), (asked, client));
            }
        }
    });
}

#[test]
fn sources_of_who_asks_a_process_are_vouched_for() {
    on_node(RoutingMode::Tunnel, |node| {
        node.open_to(NODE, TCP, &[NODE]);
        let ask =
            |from: &str| packets::tcp((ip(from), CLIENT_PORT), (ip(NODE), NODE_PORT), SYN, b"");
        for (from, reason) in [
            (POD_B, Drop::SpoofedSource),
            (NODE, Drop::SpoofedSource),
            (FAR, Drop::NotEncapsulated),
            ("10.2.1.99", Drop::NobodyThere),
        ] {
            assert_eq!(node.try_from_world(&ask(from)).1, Some(reason), "{from}");
        }
        // A process of another node is the world.
        let outcome = node.arrive(&ask(PEER));
        assert_eq!(
            ends(&outcome.packet),
            ((ip(PEER), CLIENT_PORT), (ip(NODE), PORT))
        );
        let sides = node.flow().sides;
        assert!(sides.iter().any(|side| side.identity == 2), "{sides:?}");
    });
}

#[test]
fn only_who_is_admitted_reaches_a_process() {
    on_node(RoutingMode::Tunnel, |node| {
        let web = node.open_to(NODE, TCP, &[NODE]);
        let path = FrontendPath {
            outside: Some(web),
            sources: Some(vec![net("198.51.100.0/25")].into()),
            ..FrontendPath::inside(web)
        };
        node.apply(Change::FrontendSet(frontend(BALANCER, TCP), path));
        let ask =
            |from: &str| packets::tcp((ip(from), CLIENT_PORT), (ip(BALANCER), NODE_PORT), SYN, b"");
        let outcome = node.arrive(&ask(WORLD));
        assert_eq!(ends(&outcome.packet).1, (ip(NODE), PORT));
        let refused = node.try_from_world(&ask("198.51.101.1")).1;
        assert_eq!(refused, Some(Drop::SourceNotAdmitted));
    });
}

#[test]
fn pods_that_are_reached_without_a_tunnel_are_answered_too() {
    on_node(RoutingMode::Native, |node| {
        for number in [TCP, UDP] {
            for (own, far) in [(NODE, FAR), (NODE_V6, FAR_V6)] {
                node.open_to(own, number, &[own]);
                let (client, asked) = ((ip(far), CLIENT_PORT), (ip(own), NODE_PORT));
                let answers = (ip(own), PORT);
                for flags in [SYN, ACK] {
                    let outcome = node.arrive(&packet(number, client, asked, flags, b"ask"));
                    assert_eq!(outcome.verdict, NEXT);
                    assert_eq!(ends(&outcome.packet), (client, answers));
                    let answer = packet(number, answers, client, flags | ACK, b"say");
                    let outcome = node.pass(At::Host, &answer);
                    assert_eq!(outcome.verdict, REDIRECT);
                    assert_eq!(ends(&outcome.packet), (asked, client));
                    // By the uplink, where it is looked at once more.
                    let sent = node.leave(&outcome.packet);
                    assert_eq!(sent.packet, outcome.packet);
                }
            }
        }
    });
}

#[test]
fn answers_that_cant_be_translated_do_not_leave() {
    on_node(RoutingMode::Tunnel, |node| {
        let web = node.open_to(NODE, UDP, &[NODE]);
        let (client, answers) = ((ip(WORLD), CLIENT_PORT), (ip(NODE), PORT));
        node.arrive(&packets::udp(client, (web.ip, NODE_PORT), b"ask"));
        let first = |to: End| {
            let mut frame = packets::udp(answers, to, b"a part");
            frame[20] = 0x20;
            packets::set_v4_checksum(&mut frame[14..]);
            frame
        };
        node.refuse(At::Leaving, &first(client), Drop::Untranslatable);
        let other = first((ip(WORLD), CLIENT_PORT + 1));
        assert_eq!(node.leave(&other).packet, other);
    });
}

#[test]
fn answers_without_a_checksum_get_none() {
    on_node(RoutingMode::Tunnel, |node| {
        let web = node.open_to(NODE, UDP, &[NODE]);
        let (client, asked) = ((ip(WORLD), CLIENT_PORT), (web.ip, NODE_PORT));
        node.arrive(&packets::udp(client, asked, b"ask"));
        let mut answer = packets::udp((ip(NODE), PORT), client, b"say");
        answer[40..42].fill(0);
        let outcome = node.leave(&answer);
        assert_eq!(outcome.packet[40..42], [0, 0]);
        assert_eq!(ends(&outcome.packet), (asked, client));
    });
}
