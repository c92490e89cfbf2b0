//! Pods ask for their gateway's Ethernet address.

use super::{node::*, packets::*, run::*, shapes::*};
use tombolo_abi::{Drop, GATEWAY_MAC};
use tombolo_model::net::RoutingMode;

const OWN: [u8; 4] = [10, 1, 1, 5];

#[test]
fn every_address_but_the_askers_is_at_the_gateway() {
    on_node(RoutingMode::Tunnel, |node| {
        for target in [[10, 1, 1, 1], [10, 1, 1, 6], [169, 254, 1, 1]] {
            let outcome = node.pass(At::PodA, &arp(1, OWN, target));
            assert_eq!(outcome.verdict, REDIRECT);
            let mut wanted = [&MAC_A[..], &GATEWAY_MAC].concat();
            wanted.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
            wanted.extend(GATEWAY_MAC);
            wanted.extend(target);
            wanted.extend(MAC_A);
            wanted.extend(OWN);
            assert_eq!(outcome.packet, wanted);
        }
        for question in [
            arp(1, OWN, OWN),
            arp(1, [0; 4], OWN),
            arp(2, OWN, [10, 1, 1, 1]),
        ] {
            node.refuse(At::PodA, &question, Drop::LinkLocal);
        }
        let mut padded = arp(1, OWN, [10, 1, 1, 1]);
        padded.resize(60, 0);
        assert_eq!(node.pass(At::PodA, &padded).verdict, REDIRECT);
        let short = arp(1, OWN, [10, 1, 1, 1])[..40].to_vec();
        node.refuse(At::PodA, &short, Drop::Malformed);
    });
}

#[test]
fn solicitations_are_answered() {
    on_node(RoutingMode::Tunnel, |node| {
        for target in [ROUTER_V6, POD_B_V6, "fe80::1"] {
            for with_mac in [true, false] {
                let question = solicitation(ip(POD_A_V6), ip(target), with_mac);
                let outcome = node.pass(At::PodA, &question);
                assert_eq!(outcome.verdict, REDIRECT);
                let answer = outcome.packet;
                assert_eq!(answer.len(), 86);
                assert_eq!(answer[..6], MAC_A);
                assert_eq!(answer[6..12], GATEWAY_MAC);
                assert_eq!((answer[20], answer[21]), (ICMPV6, 255));
                assert_eq!(source_of(&answer), ip(target));
                assert_eq!(destination_of(&answer), ip(POD_A_V6));
                assert_eq!(answer[54..56], [136, 0]);
                assert_eq!(answer[58], 0xe0, "from a router, asked for, to be believed");
                assert_eq!(answer[62..78], question[62..78], "the target");
                assert_eq!(answer[78..80], [2, 1]);
                assert_eq!(answer[80..], GATEWAY_MAC);
                let sum = transport_checksum(ip(target), ip(POD_A_V6), ICMPV6, &answer[54..]);
                assert_eq!(sum, 0);
                assert!(is_well_formed(&answer));
            }
        }
    });
}

#[test]
fn nobody_is_told_that_its_own_address_is_taken() {
    on_node(RoutingMode::Tunnel, |node| {
        let unspecified = ip("::");
        for question in [
            solicitation(unspecified, ip(POD_A_V6), false),
            solicitation(ip(POD_A_V6), ip(POD_A_V6), true),
            solicitation(ip(POD_A_V6), ip("ff02::1"), true),
        ] {
            node.refuse(At::PodA, &question, Drop::LinkLocal);
        }
        // From beyond a router it would have fewer hops left.
        let mut far = solicitation(ip(POD_A_V6), ip(ROUTER_V6), true);
        far[21] = 254;
        node.refuse(At::PodA, &far, Drop::LinkLocal);
    });
}
