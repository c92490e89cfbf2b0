//! `tombolo lab binaries`.

use super::{
    Output, OutputFormat,
    run::{answer, json},
};
use crate::{
    binaries::{ALL, Binary, Demand, Found, Maker, Mirror, provide},
    error::Result,
};
use clap::{Args, builder::FalseyValueParser};

#[derive(Debug, Args)]
pub struct Binaries {
    /// Which ones; all if none is named
    #[arg(value_parser = named)]
    names: Vec<&'static Binary>,
    /// Only the very versions that Tombolo is tested with, from the cache alone
    #[arg(long)]
    exact: bool,
    #[command(flatten)]
    missing: Missing,
    #[command(flatten)]
    output: Output,
}

/// What is done about programs that are not there.
#[derive(Debug, Args)]
pub struct Missing {
    /// Fetch what is missing from the projects' own releases, checked against their checksums, instead of having Go build it
    #[arg(long, env = "TOMBOLO_LAB_DOWNLOAD", value_parser = FalseyValueParser::new())]
    download: bool,
    /// Where to fetch it instead, as URL/HOST/PATH of each address: http://mirror.example/dl.k8s.io/release/...
    #[arg(
        long,
        env = "TOMBOLO_LAB_MIRROR",
        value_name = "URL",
        requires = "download"
    )]
    mirror: Option<Mirror>,
}

impl Missing {
    pub fn maker(&self) -> Maker {
        match self.download {
            true => Maker::Release(self.mirror.clone().unwrap_or_default()),
            false => Maker::Go,
        }
    }
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
        let found = provide(&wanted, demand, &self.missing.maker())?;
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
