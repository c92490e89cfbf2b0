//! Flows as conntrack: their states and times, and who counts as answering.

use super::{node::*, packets::*, run::*, shapes::*};
use tombolo_abi::{Drop, flow_state, ticks};
use tombolo_model::{
    change::{Change, Direction, PolicyEntry, Verdict},
    net::RoutingMode,
};

/// The pod may open connections, and nobody may open one to it.
fn deny_ingress(node: &mut Node) {
    let deny = PolicyEntry {
        verdict: Verdict::Deny,
        ..PolicyEntry::allow_all(Direction::Ingress)
    };
    let rules = vec![PolicyEntry::allow_all(Direction::Egress), deny];
    node.apply(Change::PolicySet(A, rules));
}

fn to_far(flags: u8) -> Vec<u8> {
    tcp((ip(POD_A), 4000), (ip(FAR), 80), flags, b"")
}

fn from_far(flags: u8) -> Vec<u8> {
    by_tunnel(&tcp((ip(FAR), 80), (ip(POD_A), 4000), flags, b""))
}

#[test]
fn times_follow_the_state_of_tcp() {
    on_node(RoutingMode::Tunnel, |node| {
        assert_eq!(ticks::SYN, ticks::from_secs(60));
        assert_eq!(ticks::ESTABLISHED, ticks::from_secs(21_600));
        assert_eq!(ticks::CLOSING, ticks::from_secs(10));
        for (at, packet, lifetime) in [
            (At::PodA, to_far(SYN), ticks::SYN),
            (At::PodA, to_far(ACK), ticks::SYN),
            (At::Uplink, from_far(SYN | ACK), ticks::ESTABLISHED),
            (At::PodA, to_far(ACK), ticks::ESTABLISHED),
            (At::PodA, to_far(FIN | ACK), ticks::ESTABLISHED),
            (At::PodA, to_far(FIN | ACK), ticks::ESTABLISHED),
            (At::Uplink, from_far(FIN | ACK), ticks::CLOSING),
            (At::PodA, to_far(ACK), ticks::CLOSING),
            (At::PodA, to_far(SYN), ticks::SYN),
            (At::Uplink, from_far(RST | ACK), ticks::CLOSING),
        ] {
            node.pass(at, &packet);
            assert_eq!(node.flow().lifetime, lifetime, "{:?}", node.flow());
        }
        assert_eq!(node.flow().state & flow_state::TCP, flow_state::TCP);
    });
}

#[test]
fn other_flows_last_a_minute() {
    on_node(RoutingMode::Tunnel, |node| {
        for packet in [
            udp((ip(POD_A), 4000), (ip(FAR), 53), b""),
            echo(ip(POD_A), ip(FAR), true, 7),
            echo(ip(POD_A_V6), ip(FAR_V6), true, 7),
        ] {
            node.pass(At::PodA, &packet);
        }
        for (_, flow) in node.flows() {
            assert_eq!(flow.lifetime, ticks::from_secs(60));
        }
        assert_eq!(node.flows().len(), 3);
    });
}

#[test]
fn answers_need_no_permission() {
    on_node(RoutingMode::Tunnel, |node| {
        deny_ingress(node);
        node.refuse(At::Uplink, &from_far(SYN | ACK), Drop::IngressDenied);
        for (question, answer) in [
            (to_far(SYN), from_far(SYN | ACK)),
            (
                udp((ip(POD_A), 4000), (ip(FAR), 53), b"?"),
                by_tunnel(&udp((ip(FAR), 53), (ip(POD_A), 4000), b"!")),
            ),
            (
                echo(ip(POD_A), ip(FAR), true, 7),
                by_tunnel(&echo(ip(FAR), ip(POD_A), false, 7)),
            ),
            (
                echo(ip(POD_A_V6), ip(FAR_V6), true, 7),
                by_tunnel(&echo(ip(FAR_V6), ip(POD_A_V6), false, 7)),
            ),
        ] {
            node.refuse(At::Uplink, &answer, Drop::IngressDenied);
            node.pass(At::PodA, &question);
            assert!(node.is_quick(At::Uplink, &answer));
        }
        let other_port = by_tunnel(&tcp((ip(FAR), 80), (ip(POD_A), 4001), ACK, b""));
        node.refuse(At::Uplink, &other_port, Drop::IngressDenied);
    });
}

#[test]
fn a_bare_syn_is_judged_afresh() {
    on_node(RoutingMode::Tunnel, |node| {
        deny_ingress(node);
        node.pass(At::PodA, &to_far(SYN));
        node.pass(At::Uplink, &from_far(SYN | ACK));
        let before = node.flow();
        node.refuse(At::Uplink, &from_far(SYN), Drop::IngressDenied);
        assert_eq!(node.flow(), before, "a denied one leaves the flow alone");
        assert!(node.is_quick(At::Uplink, &from_far(ACK)));
        node.pass(At::PodA, &to_far(SYN));
        assert_eq!(
            node.flow().state,
            flow_state::TCP,
            "an allowed one begins anew"
        );
        assert_eq!(node.flow().lifetime, ticks::SYN);
    });
}

#[test]
fn a_forgotten_flow_has_no_answers() {
    on_node(RoutingMode::Tunnel, |node| {
        deny_ingress(node);
        for (flags, lifetime) in [(SYN, ticks::SYN), (RST, ticks::CLOSING)] {
            node.pass(At::PodA, &to_far(SYN));
            node.pass(At::PodA, &to_far(flags));
            assert_eq!(node.flow().lifetime, lifetime);
            node.change_flows(|flow| flow.last = flow.last.wrapping_sub(lifetime - 10));
            assert!(node.is_quick(At::Uplink, &from_far(ACK)), "not yet");
            let lifetime = node.flow().lifetime;
            node.change_flows(|flow| flow.last = flow.last.wrapping_sub(lifetime + 1));
            node.refuse(At::Uplink, &from_far(ACK), Drop::IngressDenied);
        }
    });
}

/// Another CPU may have read a later time just before.
#[test]
fn a_flow_of_the_next_tick_is_not_forgotten() {
    on_node(RoutingMode::Tunnel, |node| {
        deny_ingress(node);
        node.pass(At::PodA, &to_far(SYN));
        node.change_flows(|flow| flow.last += 100);
        assert!(node.is_quick(At::Uplink, &from_far(SYN | ACK)));
    });
}

#[test]
fn questions_of_the_far_end_are_no_answers() {
    on_node(RoutingMode::Tunnel, |node| {
        deny_ingress(node);
        for (near, far) in [(POD_A, FAR), (POD_A_V6, FAR_V6)] {
            node.pass(At::PodA, &echo(ip(near), ip(far), true, 7));
            let question = by_tunnel(&echo(ip(far), ip(near), true, 7));
            node.refuse(At::Uplink, &question, Drop::IngressDenied);
            let answer = by_tunnel(&echo(ip(far), ip(near), false, 7));
            assert!(node.is_quick(At::Uplink, &answer));
            let stranger = by_tunnel(&echo(ip(far), ip(near), false, 8));
            node.refuse(At::Uplink, &stranger, Drop::IngressDenied);
        }
    });
}

#[test]
fn pods_of_one_node_answer_each_other() {
    on_node(RoutingMode::Tunnel, |node| {
        deny_ingress(node);
        let question = tcp((ip(POD_A), 4000), (ip(POD_B), 80), SYN, b"");
        let answer = tcp((ip(POD_B), 80), (ip(POD_A), 4000), SYN | ACK, b"");
        node.refuse(At::PodB, &answer, Drop::IngressDenied);
        node.pass(At::PodA, &question);
        assert!(node.is_quick(At::PodB, &answer));
        let own = tcp((ip(POD_B), 80), (ip(POD_A), 4000), SYN, b"");
        node.refuse(At::PodB, &own, Drop::IngressDenied);
    });
}
