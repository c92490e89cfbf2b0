//! Who may read and write which keys. Users are known by the common name of their certificate.

use std::collections::BTreeMap;

use crate::key::Keys;

#[cfg(test)]
mod tests;

/// Users with their roles, and roles with what they permit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub users: BTreeMap<String, String>,
    pub roles: BTreeMap<String, Role>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything, administration included.
    Root,
    /// Each request must lie within one of the ranges.
    Ranges(Vec<(Keys, Right)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    Read,
    Write,
    ReadWrite,
}

impl Right {
    fn includes(self, other: Right) -> bool {
        self == Right::ReadWrite || self == other
    }
}

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    Keys(Keys, Right),
    /// To write anything at all: leases are for writers.
    SomeWrite,
    Root,
}

impl Access {
    pub fn permits(&self, user: Option<&str>, need: &Need) -> bool {
        let role = user
            .and_then(|user| self.users.get(user))
            .and_then(|role| self.roles.get(role));
        match (role, need) {
            (None, _) => false,
            (Some(Role::Root), _) => true,
            (Some(Role::Ranges(_)), Need::Root) => false,
            (Some(Role::Ranges(ranges)), Need::SomeWrite) => {
                ranges.iter().any(|(_, right)| right.includes(Right::Write))
            }
            (Some(Role::Ranges(ranges)), Need::Keys(keys, needed)) => ranges
                .iter()
                .any(|(range, right)| right.includes(*needed) && range.covers(keys)),
        }
    }
}
