//! Rules: which of them wins.

use super::{node::*, packets::*, random::Random, run::*, shapes::*};
use tombolo_abi::Drop;
use tombolo_model::{
    change::{Change, Direction, PolicyEntry, Verdict},
    id::Identity,
    net::RoutingMode,
};

const TCP_PORTS: [u16; 6] = [80, 81, 8080, 8081, 8088, 443];

fn rule(verdict: Verdict, identity: u32, protocol: u8, port: (u16, u8)) -> PolicyEntry {
    PolicyEntry {
        identity: Identity(identity),
        protocol,
        port: port.0,
        port_prefix: port.1,
        verdict,
        ..PolicyEntry::allow_all(Direction::Egress)
    }
}

fn with_precedence(precedence: u32, rule: PolicyEntry) -> PolicyEntry {
    PolicyEntry { precedence, ..rule }
}

/// What should win: the highest precedence, then the narrower rule, then denial.
fn expected(rules: &[PolicyEntry], identity: u32, protocol: u8, port: u16) -> bool {
    let matching = rules.iter().filter(|rule| {
        let shift = 16 - u32::from(rule.port_prefix);
        (rule.identity.0 == 0 || rule.identity.0 == identity)
            && (rule.protocol == 0 || rule.protocol == protocol)
            && u32::from(rule.port) >> shift == u32::from(port) >> shift
    });
    let rank = |rule: &&PolicyEntry| {
        (
            rule.precedence,
            rule.protocol != 0,
            rule.port_prefix,
            rule.verdict == Verdict::Deny,
        )
    };
    let winner = matching.max_by_key(rank);
    winner.is_some_and(|rule| rule.verdict == Verdict::Allow)
}

/// Applies the rules to what leaves pod A and to what comes to it from the far pod, and asks both ways.
fn check(node: &mut Node, rules: &[PolicyEntry], asked: &[(u8, u16)]) {
    let both = [Direction::Egress, Direction::Ingress].map(|direction| {
        let turned = |rule: &PolicyEntry| PolicyEntry {
            direction,
            ..rule.clone()
        };
        rules.iter().map(turned).collect::<Vec<_>>()
    });
    node.apply(Change::PolicySet(A, both.concat()));
    for (protocol, port) in asked {
        let make = |from, to| match *protocol {
            TCP => tcp((ip(from), 4000), (ip(to), *port), SYN, b""),
            _ => udp((ip(from), 4000), (ip(to), *port), b""),
        };
        let allowed = expected(rules, ID_FAR, *protocol, *port);
        for (at, packet, reason) in [
            (At::PodA, make(POD_A, FAR), Drop::EgressDenied),
            (
                At::Uplink,
                by_tunnel(&make(FAR, POD_A)),
                Drop::IngressDenied,
            ),
        ] {
            let (_, found) = node.try_send(at, &packet);
            let wanted = (!allowed).then_some(reason);
            assert_eq!(found, wanted, "{at:?} {protocol} {port}: {rules:#?}");
        }
    }
}

#[test]
fn the_stronger_rule_wins() {
    use Verdict::{Allow, Deny};
    let any = (0, 0);
    let tables: &[&[PolicyEntry]] = &[
        &[],
        &[rule(Allow, 0, 0, any)],
        &[rule(Deny, 0, 0, any)],
        &[rule(Allow, ID_FAR, 0, any)],
        &[rule(Allow, ID_B, 0, any)],
        &[rule(Allow, ID_FAR, TCP, any)],
        &[rule(Allow, ID_FAR, TCP, (80, 16))],
        &[rule(Allow, 0, TCP, (8080, 13))],
        &[rule(Allow, ID_FAR, 0, any), rule(Deny, ID_FAR, UDP, any)],
        &[
            rule(Allow, ID_FAR, TCP, any),
            rule(Deny, ID_FAR, TCP, (8080, 12)),
        ],
        &[rule(Deny, ID_FAR, 0, any), rule(Allow, 0, 0, any)],
        &[
            rule(Deny, ID_FAR, 0, any),
            with_precedence(1, rule(Allow, 0, TCP, (80, 16))),
        ],
        // A wider rule of higher precedence wins over a narrower one.
        &[
            rule(Allow, ID_FAR, TCP, (80, 16)),
            with_precedence(1, rule(Deny, ID_FAR, 0, any)),
        ],
        &[
            rule(Allow, 0, TCP, (80, 16)),
            with_precedence(1, rule(Deny, 0, TCP, (64, 10))),
            rule(Allow, ID_FAR, 0, any),
        ],
    ];
    on_node(RoutingMode::Tunnel, |node| {
        let asked: Vec<_> = TCP_PORTS
            .iter()
            .flat_map(|port| [(TCP, *port), (UDP, *port)])
            .collect();
        for rules in tables {
            check(node, rules, &asked);
        }
    });
}

#[test]
fn random_rules_are_obeyed() {
    on_node(RoutingMode::Tunnel, |node| {
        let mut random = Random::new(0x7011);
        for _ in 0..150 {
            let mut rules = Vec::new();
            for _ in 0..random.below(9) {
                let protocol = random.pick(&[0, TCP, UDP]);
                let prefix = random.pick(&[0, 8, 12, 13, 16]);
                let mask = u16::MAX.checked_shl(16 - prefix).unwrap_or(0);
                let port = match protocol {
                    0 => (0, 0),
                    _ => (random.pick(&TCP_PORTS) & mask, prefix as u8),
                };
                let verdict = random.pick(&[Verdict::Allow, Verdict::Deny]);
                let identity = random.pick(&[0, ID_FAR, ID_FAR, ID_B]);
                rules.push(with_precedence(
                    random.below(3) as u32,
                    rule(verdict, identity, protocol, port),
                ));
            }
            let asked: Vec<_> = (0..6)
                .map(|_| (random.pick(&[TCP, UDP]), random.pick(&TCP_PORTS)))
                .collect();
            check(node, &rules, &asked);
        }
    });
}

/// For ICMP, the message stands where others have a port.
#[test]
fn icmp_is_ruled_by_message() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, far, protocol, ask) in [(POD_A, FAR, ICMP, 8), (POD_A_V6, FAR_V6, ICMPV6, 128)] {
            let rules = vec![rule(Verdict::Allow, 0, protocol, (ask, 16))];
            node.apply(Change::PolicySet(A, rules));
            node.pass(At::PodA, &echo(ip(near), ip(far), true, 7));
            let answer = by_tunnel(&echo(ip(far), ip(near), false, 7));
            assert!(node.is_quick(At::Uplink, &answer));
            let other = icmp(ip(near), ip(far), ask as u8 + 10, 0, &[0; 12]);
            node.refuse(At::PodA, &other, Drop::EgressDenied);
        }
    });
}

#[test]
fn both_ends_on_a_node_have_a_say() {
    on_node(RoutingMode::Tunnel, |node| {
        let packet = tcp((ip(POD_A), 4000), (ip(POD_B), 80), SYN, b"");
        node.apply(Change::PolicySet(B, vec![]));
        node.refuse(At::PodA, &packet, Drop::IngressDenied);
        node.allow_all(B);
        node.apply(Change::PolicySet(A, vec![]));
        node.refuse(At::PodA, &packet, Drop::EgressDenied);
        node.allow_all(A);
        node.pass(At::PodA, &packet);
    });
}
