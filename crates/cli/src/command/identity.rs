//! `tombolo identity`.

use super::address;
use crate::{output::Output, table};
use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;
use std::{collections::BTreeMap, path::Path};
use tombolo_model::{id, local::AddressView};

#[cfg(test)]
mod tests;

#[derive(Subcommand)]
pub enum Identity {
    /// List the reserved identities and those of known addresses
    #[command(visible_alias = "ls")]
    List(Output),
}

/// An identity, as the addresses tell of it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Seen {
    identity: id::Identity,
    /// Empty unless the identity is reserved.
    name: &'static str,
    /// How many addresses and ranges belong to it.
    addresses: usize,
}

impl Identity {
    pub fn run(self, socket: &Path) -> Result<()> {
        let Identity::List(output) = self;
        let identities = count(&address::ask(socket)?);
        output.write(&identities, |identities| render(identities))
    }
}

fn count(addresses: &[AddressView]) -> Vec<Seen> {
    let reserved = (1..256)
        .map(id::Identity)
        .filter(|identity| identity.reserved_name().is_some());
    let mut counts: BTreeMap<id::Identity, usize> =
        reserved.map(|identity| (identity, 0)).collect();
    // Ranges where nobody is known are nobody's.
    for address in addresses
        .iter()
        .filter(|address| address.identity != id::Identity::UNKNOWN)
    {
        *counts.entry(address.identity).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|(identity, addresses)| Seen {
            identity,
            name: identity.reserved_name().unwrap_or_default(),
            addresses,
        })
        .collect()
}

fn render(identities: &[Seen]) -> String {
    table::render(
        ["IDENTITY", "NAME", "ADDRESSES"],
        identities.iter().map(|seen| {
            [
                seen.identity.0.to_string(),
                seen.name.to_owned(),
                seen.addresses.to_string(),
            ]
        }),
    )
}
