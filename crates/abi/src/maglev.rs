//! Values of the tables that services from outside are led by, and what is looked up there.
//!
//! A table is an array of pages: the first is its head, the others its entries. It is never changed, only replaced.

use crate::Ends;

/// However many services there are; a table is made for each pool that needs one.
pub const MAGLEV_MAX: u32 = 4096;
pub const MAGLEV_PAGE: u32 = 256;

/// Element of a table.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaglevPage {
    /// Backends, or the head.
    pub words: [u32; MAGLEV_PAGE as usize],
}

impl MaglevPage {
    pub const EMPTY: MaglevPage = MaglevPage {
        words: [0; MAGLEV_PAGE as usize],
    };

    /// `digest` tells what the table is made of.
    pub const fn head(size: u32, seed: u64, digest: u64) -> MaglevPage {
        let mut head = MaglevPage::EMPTY;
        head.words[0] = size;
        head.words[2] = seed as u32;
        head.words[3] = (seed >> 32) as u32;
        head.words[4] = digest as u32;
        head.words[5] = (digest >> 32) as u32;
        head
    }

    /// How many entries the table has.
    #[inline(always)]
    pub const fn size(&self) -> u32 {
        self.words[0]
    }

    #[inline(always)]
    pub const fn seed(&self) -> u64 {
        self.words[2] as u64 | (self.words[3] as u64) << 32
    }

    pub const fn digest(&self) -> u64 {
        self.words[4] as u64 | (self.words[5] as u64) << 32
    }
}

/// How many pages a table of this size has.
pub const fn maglev_pages(size: u32) -> u32 {
    1 + size.div_ceil(MAGLEV_PAGE)
}

/// The page of an entry, and where it is there.
#[inline(always)]
pub const fn maglev_place(entry: u32) -> (u32, usize) {
    (1 + entry / MAGLEV_PAGE, (entry % MAGLEV_PAGE) as usize)
}

/// The same on all nodes of a cluster: of both ends of a packet for a service, or of its sender's address alone.
#[inline(always)]
pub const fn flow_hash(seed: u64, ends: &Ends, by_address: bool) -> u64 {
    let mut hash = mix(seed, ends.source.words[0]);
    hash = mix(hash, ends.source.words[1]);
    if by_address {
        return hash;
    }
    hash = mix(hash, ends.destination.words[0]);
    hash = mix(hash, ends.destination.words[1]);
    let ports = (ends.source_port as u64) << 16 | ends.destination_port as u64;
    mix(hash, ports | (ends.protocol as u64) << 32)
}

/// The finisher of SplitMix64.
#[inline(always)]
const fn mix(hash: u64, word: u64) -> u64 {
    let mut mixed = hash.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ word;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

const _: () = {
    assert!(size_of::<MaglevPage>() == 1024);
    let head = MaglevPage::head(131_071, 1 << 63 | 5, 1 << 62 | 7);
    assert!(head.size() == 131_071 && head.seed() == 1 << 63 | 5 && head.digest() == 1 << 62 | 7);
};

#[cfg(feature = "user")]
mod user {
    use super::*;

    pod!(MaglevPage);
}
