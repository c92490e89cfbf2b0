//! `tombolo lab binaries`.

use super::{
    Output, OutputFormat,
    run::{answer, json},
};
use crate::{
    binaries::{ALL, Binary, Demand, Found, provide},
    error::Result,
};
use clap::Args;

#[derive(Debug, Args)]
pub struct Binaries {
    /// Which ones; all if none is named
    #[arg(value_parser = named)]
    names: Vec<&'static Binary>,
    /// Only the very versions that Tombolo is tested with, from the cache alone
    #[arg(long)]
    exact: bool,
    #[command(flatten)]
    output: Output,
}

impl Binaries {
    pub fn run(self) -> Result<()> {
        let wanted = match self.names.is_empty() {
            true => ALL.iter().collect(),
            false => self.names,
        };
        let demand = match self.exact {
            true => Demand::Exact,
            false => Demand::Series,
        };
        let found = provide(&wanted, demand)?;
        answer(&match self.output.output {
            OutputFormat::Text => text(&found),
            OutputFormat::Json => json(&found),
        })
    }
}

fn named(name: &str) -> Result<&'static Binary, String> {
    Binary::named(name).ok_or_else(|| {
        let known: Vec<&str> = ALL.iter().map(|binary| binary.name).collect();
        format!("there are {}", known.join(", "))
    })
}

fn text(found: &[Found]) -> String {
    let mut text = format!("{:<24} {:<8} {}\n", "NAME", "VERSION", "PATH");
    for Found {
        name,
        version,
        path,
        ..
    } in found
    {
        text.push_str(&format!("{name:<24} {version:<8} {}\n", path.display()));
    }
    text
}
