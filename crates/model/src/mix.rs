//! Numbers that look alike made into ones that share nothing: the step and the finish of SplitMix64.
//!
//! The nodes of a cluster agree on what they choose by these, so neither ever changes.

pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

pub(crate) const fn finish(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
