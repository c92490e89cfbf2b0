//! `tombolo programs`.

use super::ask_to;
use crate::output::Output;
use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use std::path::Path;
use tombolo_model::local::Request;

#[derive(Subcommand)]
pub enum Programs {
    /// Load the programs anew and replace the running ones, without losing a packet
    Replace(Output),
}

impl Programs {
    pub fn run(self, socket: &Path) -> Result<()> {
        let Programs::Replace(output) = self;
        ask_to(socket, &Request::ProgramsReplace)?;
        output.write(&json!({"replaced": true}), |_| {
            "all programs are replaced\n".to_owned()
        })
    }
}
