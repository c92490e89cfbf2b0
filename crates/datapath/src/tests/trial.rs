//! What is wrong with what a program made of a packet, whatever the packet was.

use super::{node::*, packets::*, run::*, shapes::*};
use std::net::IpAddr;
use tombolo_abi::{GATEWAY_MAC, mark};
use tombolo_model::net::RoutingMode;

/// Of the uplink, and of the node next to it.
const UPLINK_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const NEXT_HOP_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// A packet that went through a program.
pub struct Trial<'a> {
    pub at: At,
    pub sent: &'a [u8],
    pub mark: u32,
    pub outcome: &'a Outcome,
    pub routing: RoutingMode,
}

fn addresses_of(mac: &[u8]) -> Option<[IpAddr; 2]> {
    match mac {
        mac if mac == MAC_A => Some([POD_A, POD_A_V6].map(ip)),
        mac if mac == MAC_B => Some([POD_B, POD_B_V6].map(ip)),
        _ => None,
    }
}

impl Trial<'_> {
    pub fn fault(&self) -> Option<&'static str> {
        let frame = &self.outcome.packet;
        let is_from_pod = matches!(self.at, At::PodA | At::PodB);
        let is_right = match self.outcome.verdict {
            SHOT => return None,
            NEXT if self.at == At::Uplink => {
                return (frame != self.sent).then_some("touched, though not ours");
            }
            NEXT => self.outcome.mark & mark::IDENTITY_MASK == mark::IDENTITY,
            REDIRECT if is_from_pod && frame[12..14] == [8, 6] => {
                return (self.sent[12..14] != [8, 6]).then_some("an answer to no question");
            }
            REDIRECT if frame[..6] == NEXT_HOP_MAC && frame[6..12] == UPLINK_MAC => {
                self.routing == RoutingMode::Native || self.is_tunnel_right()
            }
            REDIRECT if self.is_answer() => true,
            REDIRECT if frame[6..12] == GATEWAY_MAC && addresses_of(&frame[..6]).is_some() => {
                is_well_formed(frame)
                    && addresses_of(&frame[..6])
                        .is_some_and(|own| own.contains(&destination_of(frame)))
            }
            // By the kernel's device.
            REDIRECT => self.at != At::Uplink && frame.len() == self.sent.len(),
            _ => return Some("an unknown verdict"),
        };
        (!is_right || !is_well_formed(frame)).then_some("let through")
    }

    /// An ICMP error about what was sent, or an advertisement that was asked for.
    fn is_answer(&self) -> bool {
        let (frame, sent) = (&self.outcome.packet, self.sent);
        if self.at == At::Uplink || frame[..6] != sent[6..12] || !is_well_formed(frame) {
            return false;
        }
        let (quoted, is_advertisement) = match is_v4(frame) {
            true => (frame.get(42..62), false),
            false => (frame.get(62..94), frame.get(54) == Some(&136)),
        };
        is_advertisement || quoted.is_some_and(|quoted| sent[14..].starts_with(quoted))
    }

    fn is_tunnel_right(&self) -> bool {
        let frame = &self.outcome.packet;
        let Some((vni, inner)) = unwrap_vxlan(frame) else {
            return false;
        };
        let ways = [[NODE, PEER], [NODE_V6, PEER_V6]].map(|way| way.map(ip));
        let is_way = ways.contains(&[source_of(frame), destination_of(frame)]);
        let speaks =
            |mac: [u8; 6]| addresses_of(&mac).is_some_and(|own| own.contains(&source_of(&inner)));
        let is_speaker = match self.at {
            At::PodA => vni == ID_A && speaks(MAC_A),
            At::PodB => vni == ID_B && speaks(MAC_B),
            // The node itself, the world behind it, or whom our own programs have marked.
            _ => vni == 2 || vni == 6 || vni == mark::identity(self.mark),
        };
        is_way && is_speaker && is_well_formed(&inner)
    }
}
