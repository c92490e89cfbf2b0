//! May these two speak? Asked once for a flow, in each direction that has a local pod.

use crate::maps::POLICY;
use aya_ebpf::btf_maps::lpm_trie::Key;
use tombolo_abi::{POLICY_BITS, PolicyKey, PolicyRule};

/// True when the endpoint's rules let it speak with `identity`. The highest precedence wins, then the longer prefix, then denial.
/// An endpoint without rules of its own is denied everything: rules are there before the endpoint is.
#[inline(always)]
pub fn allows(endpoint: u16, direction: u8, identity: u32, protocol: u8, port: u16) -> bool {
    let by_peer = rule(
        endpoint,
        &PolicyKey {
            identity,
            direction,
            protocol,
            port,
        },
    );
    let for_anyone = rule(
        endpoint,
        &PolicyKey {
            identity: 0,
            direction,
            protocol,
            port,
        },
    );
    let winner = match (by_peer, for_anyone) {
        (Some(a), Some(b)) if rank(b) > rank(a) => b,
        (Some(a), _) => a,
        (None, Some(b)) => b,
        (None, None) => return false,
    };
    winner.deny == 0
}

#[inline(always)]
fn rank(rule: PolicyRule) -> u64 {
    (u64::from(rule.precedence) << 16) | (u64::from(rule.bits) << 8) | u64::from(rule.deny)
}

#[inline(always)]
fn rule(endpoint: u16, key: &PolicyKey) -> Option<PolicyRule> {
    let rules = POLICY.get(u32::from(endpoint))?;
    rules.get(&Key::new(POLICY_BITS, *key)).copied()
}
