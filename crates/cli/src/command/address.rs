//! `tombolo ip`.

use crate::{client, output::Output, table};
use anyhow::Result;
use clap::Subcommand;
use std::path::Path;
use tombolo_model::local::{AddressView, Reply, Request};

#[derive(Subcommand)]
pub enum Ip {
    /// List addresses and ranges, the identity they belong to, and where they are
    #[command(visible_alias = "ls")]
    List(Output),
}

impl Ip {
    pub fn run(self, socket: &Path) -> Result<()> {
        let Ip::List(output) = self;
        output.write(&ask(socket)?, |addresses| render(addresses))
    }
}

/// All addresses that the agent knows.
pub fn ask(socket: &Path) -> Result<Vec<AddressView>> {
    match client::ask(socket, &Request::AddressList)? {
        Reply::Addresses { addresses } => Ok(addresses),
        other => Err(client::unexpected(&other)),
    }
}

fn render(addresses: &[AddressView]) -> String {
    table::render(
        ["PREFIX", "IDENTITY", "PLACE", "SOURCE"],
        addresses.iter().map(|address| {
            [
                address.prefix.to_string(),
                address.identity.to_string(),
                address.place.clone(),
                address.source.clone(),
            ]
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing;

    #[test]
    fn addresses_are_a_table() {
        assert_eq!(
            render(&testing::addresses()),
            "\
PREFIX       IDENTITY  PLACE               SOURCE
10.1.1.5/32  65801     local 3             agent
10.1.1.6/32  65801     local 4             agent
10.2.1.5/32  131329    remote cluster2/n1  file
10.1.1.0/24  unknown   nowhere             pod range
0.0.0.0/0    world     world               -
"
        );
    }
}
