//! Addresses as every map holds them: 16 bytes, IPv4 mapped into IPv6.

/// An address in network order, read as two machine words so that comparing and copying cost two instructions.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Addr {
    pub words: [u64; 2],
}

/// `::ffff:0:0`, the second word's first half as it lies in memory.
const V4_MARK: u64 = 0xffff_0000u32.to_le() as u64;

impl Addr {
    /// From the four bytes of an IPv4 address as they lie in a packet.
    #[inline(always)]
    pub const fn from_v4(raw: u32) -> Addr {
        Addr {
            words: [0, V4_MARK | ((raw as u64) << 32)],
        }
    }

    #[inline(always)]
    pub const fn from_bytes(bytes: [u8; 16]) -> Addr {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Addr {
            words: [
                u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
                u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
            ],
        }
    }

    pub const fn bytes(self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h] = self.words[0].to_ne_bytes();
        let [i, j, k, l, m, n, o, p] = self.words[1].to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// From the four words in which the kernel's structures have it.
    #[inline(always)]
    pub const fn from_quarters([a, b, c, d]: [u32; 4]) -> Addr {
        Addr {
            words: [a as u64 | ((b as u64) << 32), c as u64 | ((d as u64) << 32)],
        }
    }

    #[inline(always)]
    pub const fn quarters(self) -> [u32; 4] {
        let [first, second] = self.words;
        [
            first as u32,
            (first >> 32) as u32,
            second as u32,
            (second >> 32) as u32,
        ]
    }

    #[inline(always)]
    pub const fn is_v4(self) -> bool {
        self.words[0] == 0 && self.words[1] as u32 as u64 == V4_MARK
    }

    /// The four bytes of an IPv4 address as they lie in a packet.
    #[inline(always)]
    pub const fn v4(self) -> u32 {
        (self.words[1] >> 32) as u32
    }

    /// Which counter tells that this address moved or changed hands.
    #[inline(always)]
    pub const fn shard(self) -> u32 {
        // The finaliser of splitmix64: every bit of the address reaches the upper sixteen.
        let mut x = self.words[0] ^ self.words[1].rotate_left(23);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 48) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v4_is_mapped() {
        let addr = Addr::from_v4(u32::from_ne_bytes([10, 1, 2, 3]));
        assert_eq!(
            addr.bytes(),
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3]
        );
        assert!(addr.is_v4());
        assert_eq!(addr.v4().to_ne_bytes(), [10, 1, 2, 3]);
        assert_eq!(Addr::from_bytes(addr.bytes()), addr);
        assert!(!Addr::from_bytes([0xfd; 16]).is_v4());
        assert_eq!(addr.quarters()[3], addr.v4());
        assert_eq!(Addr::from_quarters(addr.quarters()), addr);
    }

    #[test]
    fn neighbours_spread_over_shards() {
        let mut shards = [0u32; 4096];
        for (i, shard) in shards.iter_mut().enumerate() {
            let [.., a, b] = (i as u32).to_be_bytes();
            *shard = Addr::from_v4(u32::from_ne_bytes([10, 1, a, b])).shard();
            assert!(*shard < 65536);
        }
        shards.sort_unstable();
        let distinct = 1 + shards.windows(2).filter(|pair| pair[0] != pair[1]).count();
        // 4096 balls in 65536 boxes leave about 3970 boxes hit.
        assert!(distinct > 3900, "{distinct}");
    }
}
