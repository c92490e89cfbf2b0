//! `tombolo clustermesh`: clusters become reachable, are connected with each other, and show how that goes.

mod connect;
mod enable;
mod inspect;
mod mesh;
mod rotate;
mod status;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand, Debug)]
pub enum Clustermesh {
    /// Run the mesh API server, by which other clusters learn of this one
    Enable(enable::Enable),
    /// Stop it again
    Disable(enable::Disable),
    /// Connect this cluster with others: each side is given the other's secret
    Connect(connect::Connect),
    /// Part this cluster from others
    Disconnect(connect::Disconnect),
    /// Give this cluster another secret, without losing a connection
    Rotate(rotate::Rotate),
    /// Show how this cluster's part in the mesh stands; the exit code is 0 only if all is well
    Status(status::Options),
    /// Show who this cluster says that it is, whom it trusts, and what is wrong with the others
    Inspect(inspect::Inspect),
}

impl Clustermesh {
    pub fn run(self) -> Result<ExitCode> {
        match self {
            Clustermesh::Enable(enable) => enable.run()?,
            Clustermesh::Disable(disable) => disable.run()?,
            Clustermesh::Connect(connect) => connect.run()?,
            Clustermesh::Disconnect(disconnect) => disconnect.run()?,
            Clustermesh::Rotate(rotate) => rotate.run()?,
            Clustermesh::Inspect(inspect) => inspect.run()?,
            Clustermesh::Status(options) => return options.run(),
        }
        Ok(ExitCode::SUCCESS)
    }
}
