//! `tombolo version`.

use crate::output::Output;
use anyhow::Result;
use serde::Serialize;

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

pub fn run(output: Output) -> Result<()> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
    };
    output.write(&version, |version| format!("tombolo {}\n", version.version))
}
