//! `tombolo install`, `upgrade`, `uninstall` and `chart`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::{
    chart::{self, Unpacked},
    cluster::Where,
    helm::{Call, Helm},
};

#[derive(Args, Debug)]
pub struct Install {
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    values: Values,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    helm: Helm,
}

#[derive(Args, Clone, Debug, Default)]
pub struct Values {
    /// A value of the chart, such as cluster.id=1; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// File of values; may be given several times
    #[arg(long, short = 'f', value_name = "FILE")]
    pub values: Vec<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct Wait {
    /// Return when all of it is ready
    #[arg(long)]
    pub wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub wait_duration: String,
}

#[derive(Args, Debug)]
pub struct Upgrade {
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    values: Values,
    /// Go back to the chart's own values, but for those given now
    #[arg(long)]
    reset_values: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    helm: Helm,
}

#[derive(Args, Debug)]
pub struct Uninstall {
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    helm: Helm,
}

#[derive(Args, Debug)]
pub struct Chart {
    /// Folder to write it into, which must not be there
    folder: PathBuf,
}

impl Install {
    pub fn run(self) -> Result<()> {
        let chart = Unpacked::make()?;
        let mut call = Call::new("install", &self.at).with_chart(&chart.path());
        self.values.add(&mut call);
        self.wait.add(&mut call);
        self.helm.run(&call)
    }
}

impl Upgrade {
    pub fn run(self) -> Result<()> {
        let chart = Unpacked::make()?;
        let mut call = upgrade(&self.at, &chart, self.reset_values);
        self.values.add(&mut call);
        self.wait.add(&mut call);
        self.helm.run(&call)
    }
}

impl Uninstall {
    pub fn run(self) -> Result<()> {
        let mut call = Call::new("uninstall", &self.at);
        self.wait.add(&mut call);
        self.helm.run(&call)
    }
}

impl Chart {
    pub fn run(self) -> Result<()> {
        chart::write(&self.folder)?;
        crate::output::write(&format!("the chart is in {}\n", self.folder.display()))
    }
}

/// What was set before stays, and what a newer chart brings comes with its own value.
pub fn upgrade(at: &Where, chart: &Unpacked, reset: bool) -> Call {
    let mut call = Call::new("upgrade", at).with_chart(&chart.path());
    call.word(if reset {
        "--reset-values"
    } else {
        "--reset-then-reuse-values"
    });
    call
}

impl Values {
    pub fn add(&self, call: &mut Call) {
        for file in &self.values {
            call.pair("--values", file);
        }
        for value in &self.set {
            call.pair("--set", value);
        }
    }
}

impl Wait {
    pub fn add(&self, call: &mut Call) {
        if self.wait {
            call.word("--wait");
            call.pair("--timeout", &self.wait_duration);
        }
    }
}
