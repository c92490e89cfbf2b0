//! `POLICY`: the rules of each endpoint, replaced as a whole.

use super::take;
use crate::Error;
use aya::{
    Ebpf,
    maps::{
        ArrayOfMaps, MapData, MapError,
        lpm_trie::{Key, LpmTrie},
    },
};
use std::collections::BTreeMap;
use tombolo_abi::{
    ENDPOINTS_MAX, POLICY_BITS_PEER, POLICY_BITS_PROTOCOL, POLICY_RULES_MAX, PolicyKey, PolicyRule,
    direction,
};
use tombolo_model::{
    change::{Direction, PolicyEntry, Verdict},
    id::{EndpointId, Identity},
};

type Rules = LpmTrie<MapData, PolicyKey, PolicyRule>;

pub struct Policies(ArrayOfMaps<MapData, Rules>);

/// The kernel wants this of every such map.
const BPF_F_NO_PREALLOC: u32 = 1;

impl Policies {
    pub fn take(ebpf: &mut Ebpf) -> Result<Policies, Error> {
        Ok(Policies(take(ebpf, "POLICY")?))
    }

    /// Prepares the rules aside and puts them in place in one step.
    pub fn set(&mut self, id: EndpointId, entries: &[PolicyEntry]) -> Result<(), Error> {
        let mut rules = Rules::create(POLICY_RULES_MAX, BPF_F_NO_PREALLOC)
            .map_err(Error::map("POLICY", "creating"))?;
        for entry in effective(entries) {
            let (key, rule) = rule_of(entry);
            rules
                .insert(&key, rule, 0)
                .map_err(Error::map("POLICY", "writing"))?;
        }
        self.0
            .set(u32::from(id.0), &rules, 0)
            .map_err(Error::map("POLICY", "replacing"))
    }

    /// An endpoint without rules of its own may not speak at all; its number may be another's next.
    pub fn unset(&mut self, id: EndpointId) -> Result<(), Error> {
        self.set(id, &[])
    }

    pub fn get(&self, id: EndpointId) -> Result<Vec<PolicyEntry>, Error> {
        debug_assert!(u32::from(id.0) < ENDPOINTS_MAX);
        match self.0.get(&u32::from(id.0), 0) {
            Ok(rules) => rules
                .iter()
                .map(|item| item.map(|(key, rule)| entry_of(&key, rule)))
                .collect::<Result<_, _>>()
                .map_err(Error::map("POLICY", "reading")),
            Err(MapError::KeyNotFound) => Ok(Vec::new()),
            Err(error) => Err(Error::map("POLICY", "reading")(error)),
        }
    }
}

/// The rules that can win. The kernel finds the narrowest of a peer's rules, so none may stay that a wider one overrules.
fn effective(entries: &[PolicyEntry]) -> Vec<&PolicyEntry> {
    let strength = |entry: &PolicyEntry| (entry.precedence, entry.verdict == Verdict::Deny);
    let mut strongest: BTreeMap<Match, &PolicyEntry> = BTreeMap::new();
    for entry in entries {
        let rival = strongest.entry(Match::of(entry)).or_insert(entry);
        if strength(entry) > strength(rival) {
            *rival = entry;
        }
    }
    let overruled = |matched: &Match, entry: &PolicyEntry| {
        let wider = matched.wider();
        let mut rivals = wider.filter_map(|matched| strongest.get(&matched));
        rivals.any(|rival| rival.precedence > entry.precedence)
    };
    let winning = strongest
        .iter()
        .filter(|(matched, entry)| !overruled(matched, entry));
    winning.map(|(_, entry)| *entry).collect()
}

/// What a rule speaks of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Match {
    direction: Direction,
    identity: Identity,
    protocol: u8,
    port: u16,
    port_prefix: u8,
}

impl Match {
    fn of(entry: &PolicyEntry) -> Match {
        Match {
            direction: entry.direction,
            identity: entry.identity,
            protocol: entry.protocol,
            port: entry.port,
            port_prefix: entry.port_prefix.min(16),
        }
    }

    /// The same peer's matches that have this one within.
    fn wider(self) -> impl Iterator<Item = Match> {
        let ports = (0..self.port_prefix).map(move |port_prefix| Match {
            port: self.port
                & u16::MAX
                    .checked_shl(16 - u32::from(port_prefix))
                    .unwrap_or(0),
            port_prefix,
            ..self
        });
        let any = Match {
            protocol: 0,
            port: 0,
            port_prefix: 0,
            ..self
        };
        ports.chain((self.protocol != 0).then_some(any))
    }
}

fn rule_of(entry: &PolicyEntry) -> (Key<PolicyKey>, PolicyRule) {
    let bits = match entry.protocol {
        0 => POLICY_BITS_PEER,
        _ => POLICY_BITS_PROTOCOL + u32::from(entry.port_prefix.min(16)),
    };
    let key = PolicyKey {
        identity: entry.identity.0,
        direction: match entry.direction {
            Direction::Ingress => direction::INGRESS,
            Direction::Egress => direction::EGRESS,
        },
        protocol: entry.protocol,
        port: entry.port.to_be(),
    };
    let deny = u8::from(entry.verdict == Verdict::Deny);
    (
        Key::new(bits, key),
        PolicyRule {
            precedence: entry.precedence,
            deny,
            bits: bits as u8,
            _pad: 0,
        },
    )
}

fn entry_of(key: &Key<PolicyKey>, rule: PolicyRule) -> PolicyEntry {
    let parts = key.data();
    PolicyEntry {
        direction: if parts.direction == direction::INGRESS {
            Direction::Ingress
        } else {
            Direction::Egress
        },
        identity: Identity(parts.identity),
        protocol: parts.protocol,
        port: u16::from_be(parts.port),
        port_prefix: key.prefix_len().saturating_sub(POLICY_BITS_PROTOCOL) as u8,
        verdict: if rule.deny == 0 {
            Verdict::Allow
        } else {
            Verdict::Deny
        },
        precedence: rule.precedence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_go_there_and_back() {
        let all = PolicyEntry::allow_all(Direction::Egress);
        let range = PolicyEntry {
            direction: Direction::Ingress,
            identity: Identity(65_800),
            protocol: 6,
            port: 8080,
            port_prefix: 12,
            verdict: Verdict::Deny,
            precedence: 7,
        };
        for entry in [all, range] {
            let (key, rule) = rule_of(&entry);
            assert_eq!(entry_of(&key, rule), entry);
        }
    }
}
