//! Makes a packet wrong in the ways that parsers fall for.

use super::{packets::set_v4_checksum, random::Random};

/// The kernel's test-run call takes no packet below or above these: an IP header must be whole.
fn sizes(bytes: &[u8]) -> [usize; 2] {
    match bytes.get(12..14) {
        Some([8, 0]) => [34, 3000],
        Some([0x86, 0xdd]) => [54, 3000],
        _ => [14, 3000],
    }
}

/// Values at the edges of what fields hold.
const EDGES: [u8; 12] = [0, 1, 4, 6, 7, 8, 17, 44, 58, 0x45, 0x7f, 0xff];

pub fn mutate(random: &mut Random, packet: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    for _ in 0..=random.below(3) {
        change(random, &mut bytes, other);
    }
    bytes.resize(bytes.len().max(14), 0);
    let [least, most] = sizes(&bytes);
    bytes.resize(bytes.len().clamp(least, most), 0);
    // Behind a wrong checksum nobody looks at the rest.
    if random.below(4) != 0 {
        mend(&mut bytes, 14);
        for inner in [64, 84] {
            if is_tunnel(&bytes, inner) {
                mend(&mut bytes, inner);
            }
        }
    }
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    // Mostly within the headers.
    let reach = if random.below(4) == 0 {
        bytes.len()
    } else {
        bytes.len().min(130)
    };
    if reach == 0 {
        return;
    }
    let at = random.below(reach);
    match random.below(9) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 => bytes[at] = random.pick(&EDGES),
        3 => bytes.truncate(at),
        4 => bytes.extend(vec![0xa5; random.below(64)]),
        5 => {
            // The front of one packet and the back of another.
            let from = random.below(other.len());
            bytes.truncate(at);
            bytes.extend(&other[from..]);
        }
        6 => {
            // The same place in another packet.
            let end = (at + 1 + random.below(20))
                .min(bytes.len())
                .min(other.len());
            if at < end {
                bytes[at..end].copy_from_slice(&other[at..end]);
            }
        }
        7 => {
            // Something in between.
            let end = (at + random.below(24)).min(other.len());
            let piece: Vec<u8> = other.get(at..end).unwrap_or_default().to_vec();
            bytes.splice(at..at, piece);
        }
        _ => {
            // A length or an offset that is a little off.
            if let Some([high, low]) = bytes.get_mut(at..at + 2) {
                let value = u16::from_be_bytes([*high, *low]);
                let by = random.pick(&[1, 2, 4, 8, 20, 0xffff, 0xfffc, 0x8000]);
                [*high, *low] = value.wrapping_add(by).to_be_bytes();
            }
        }
    }
}

fn is_tunnel(bytes: &[u8], inner: usize) -> bool {
    let udp = inner - 30;
    bytes.get(udp + 2..udp + 4) == Some(&[0x21, 0x18])
}

fn mend(bytes: &mut [u8], l3: usize) {
    let Some(first) = bytes.get(l3) else { return };
    let header = usize::from(first & 15) * 4;
    if first >> 4 == 4 && header >= 20 && bytes.len() >= l3 + header {
        set_v4_checksum(&mut bytes[l3..l3 + header]);
    }
}
