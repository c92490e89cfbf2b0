//! The rules of one endpoint.

use crate::change::{Direction, PolicyEntry, Verdict};

#[cfg(test)]
mod tests;

/// The most rules that one endpoint may have.
pub const RULES_MAX: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("rule {index} names a port but no protocol")]
    PortWithoutProtocol { index: usize },
    #[error("rule {index} has port prefix {prefix}, which is above 16")]
    PortPrefix { index: usize, prefix: u8 },
    #[error("rule {index} has port {port}, which has bits set beyond its prefix of {prefix} bits")]
    PortBits { index: usize, port: u16, prefix: u8 },
    #[error("{count} rules are more than the {RULES_MAX} that an endpoint may have")]
    TooMany { count: usize },
}

/// Refuses rules that the kernel can't match as they are meant.
pub fn check(entries: &[PolicyEntry]) -> Result<(), RuleError> {
    if entries.len() > RULES_MAX {
        return Err(RuleError::TooMany {
            count: entries.len(),
        });
    }
    for (index, entry) in entries.iter().enumerate() {
        let PolicyEntry {
            protocol,
            port,
            port_prefix: prefix,
            ..
        } = *entry;
        if prefix > 16 {
            return Err(RuleError::PortPrefix { index, prefix });
        }
        if protocol == 0 && (port != 0 || prefix != 0) {
            return Err(RuleError::PortWithoutProtocol { index });
        }
        if u32::from(port) << prefix & 0xffff != 0 {
            return Err(RuleError::PortBits {
                index,
                port,
                prefix,
            });
        }
    }
    Ok(())
}

/// The rules as the kernel holds them: sorted, one for each match, and everything allowed in a direction that no rule speaks of.
pub fn normalise(entries: &[PolicyEntry]) -> Vec<PolicyEntry> {
    let mut entries = entries.to_vec();
    for direction in [Direction::Ingress, Direction::Egress] {
        if !entries.iter().any(|entry| entry.direction == direction) {
            entries.push(PolicyEntry::allow_all(direction));
        }
    }
    sorted(entries)
}

/// In the order of [`normalise`], and of rules with the same match the strongest alone.
pub fn sorted(mut entries: Vec<PolicyEntry>) -> Vec<PolicyEntry> {
    // Among rules with the same match the strongest comes first, a denial before a permission.
    entries.sort_by_key(|entry| {
        let strength = (entry.precedence, entry.verdict == Verdict::Deny);
        (matched(entry), std::cmp::Reverse(strength))
    });
    entries.dedup_by_key(|entry| matched(entry));
    entries
}

/// The rules that somebody gave, without those that [`normalise`] adds.
pub fn given(entries: &[PolicyEntry]) -> Vec<PolicyEntry> {
    let alone = |entry: &PolicyEntry| {
        entries
            .iter()
            .filter(|other| other.direction == entry.direction)
            .count()
            == 1
    };
    entries
        .iter()
        .filter(|entry| !(alone(entry) && **entry == PolicyEntry::allow_all(entry.direction)))
        .cloned()
        .collect()
}

fn matched(entry: &PolicyEntry) -> (Direction, u32, u8, u16, u8) {
    (
        entry.direction,
        entry.identity.0,
        entry.protocol,
        entry.port,
        entry.port_prefix,
    )
}
