//! Congestion marks go out with the packet and come back in with it (RFC 6040).

use super::{node::*, packets::*, run::*, shapes::*};
use tombolo_model::net::RoutingMode;

const CE: u8 = 3;

fn ecn_at(frame: &[u8], l3: usize) -> u8 {
    match frame[l3] >> 4 {
        4 => frame[l3 + 1] & 3,
        _ => frame[l3 + 1] >> 4 & 3,
    }
}

#[test]
fn the_outer_header_carries_the_inner_mark() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, far, inner) in [
            (POD_A, FAR, 64),
            (POD_A_V6, FAR_V6, 64),
            (POD_A, FARTHER, 84),
            (POD_A_V6, FARTHER_V6, 84),
        ] {
            for ecn in 0..=CE {
                let mut packet = tcp((ip(near), 4000), (ip(far), 80), ACK, b"x");
                set_ecn(&mut packet, 14, ecn);
                let sent = node.pass(At::PodA, &packet).packet;
                assert_eq!(ecn_at(&sent, 14), ecn);
                assert_eq!(ecn_at(&sent, inner), ecn);
                assert!(is_well_formed(&sent), "{sent:02x?}");
                assert!(is_well_formed(&sent[inner - 14..]));
            }
        }
    });
}

#[test]
fn a_mark_of_the_way_arrives_inside() {
    on_node(RoutingMode::Tunnel, |node| {
        for (peer, own) in [(PEER, NODE), (PEER_V6, NODE_V6)] {
            for (near, far) in [(POD_A, "10.2.9.9"), (POD_A_V6, "fd00:10:2:9::9")] {
                for outer in 0..=CE {
                    for inner in 0..=CE {
                        let mut packet = tcp((ip(far), 80), (ip(near), 4000), ACK, b"x");
                        set_ecn(&mut packet, 14, inner);
                        let mut whole = vxlan(ip(peer), ip(own), ID_FAR, &packet);
                        set_ecn(&mut whole, 14, outer);
                        let arrived = node.pass(At::Uplink, &whole).packet;
                        let wanted = if outer == CE && inner != 0 { CE } else { inner };
                        assert_eq!(ecn_at(&arrived, 14), wanted, "{outer} {inner}");
                        assert!(is_well_formed(&arrived), "{outer} {inner}");
                        set_ecn(&mut packet, 14, wanted);
                        assert_eq!(arrived[14..], packet[14..]);
                    }
                }
                node.change_flows(|flow| flow.last = flow.last.wrapping_sub(flow.lifetime + 1));
            }
        }
    });
}
