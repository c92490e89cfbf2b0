//! `cargo xtask bench service`: what it costs to be led to a backend, by ours and by the rules that kube-proxy writes.
//!
//! A pod connects to the address of a service whose one backend is a pod of another node, asks for a byte and closes. On
//! kube-proxy's sides the nodes are joined by the kernel's VXLAN device, on ours by Tombolo's tunnel.

mod kube;
mod table;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use super::load;
use super::report::{self, Format, Goal, Report};
use super::topology::{Ends, Side as Network, kernel, ours};
use crate::process::{cargo, is_root, run as execute};
use crate::{lab, setup};
use kube::Rules;
use table::{Group, Table};

/// What kube-proxy's sides are compared with, and ours with them.
const DIRECT: &str = "no-service";
const OURS: &str = "tombolo";
/// The frontend of the first service; the others follow it.
const FIRST: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 0);
const PORT: u16 = 80;
/// What is loaded at once, and the service of which one backend is changed.
const LOADED: (usize, usize, usize) = (10_000, 100, 10_000);
const CHANGES: usize = 300;

#[derive(Args)]
pub struct Options {
    /// How often every side is measured
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Length of one measurement, after a tenth of it for warming up
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How many services there are
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Size::value_variants().to_owned())]
    services: Vec<Size>,
    /// Leave out how long the loading of many takes, and the change of one
    #[arg(long)]
    no_load: bool,
    /// Form of the result
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Size {
    #[value(name = "1")]
    One,
    #[value(name = "1000")]
    Thousand,
    #[value(name = "10000")]
    TenThousand,
}

impl Size {
    fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Thousand => 1_000,
            Self::TenThousand => 10_000,
        }
    }

    fn measure(self) -> report::Measure {
        let name = match self {
            Self::One => "crr_1_service",
            Self::Thousand => "crr_1000_services",
            Self::TenThousand => "crr_10000_services",
        };
        report::Measure::new(name, "transactions/s").with(Goal::TimesAtLeast(1.5, "nftables"))
    }
}

pub fn run(options: &Options) -> Result<()> {
    if !is_root() {
        bail!("benchmarks make network namespaces: run this as root");
    }
    if options.rounds == 0 || !(0.05..=60.0).contains(&options.seconds) {
        bail!("--rounds must be at least 1 and --seconds between 0.05 and 60");
    }
    kube::check()?;
    setup::run(setup::Extent::Running)?;
    lab::build()?;
    let table = ["--package", "tombolo-datapath", "--example", "services"];
    execute(cargo(&["build", "--locked", "--release"]).args(table))?;
    let mut report = Report::new(&["nftables", "iptables"]).beside(DIRECT);
    compare(options, &mut report)?;
    if !options.no_load {
        for round in 0..options.rounds {
            load_many(&mut report).context("loading many services")?;
            eprintln!("round {}: many services were loaded", round + 1);
        }
    }
    report.print(options.output);
    Ok(())
}

/// One side: its network, and what leads to the backend there.
struct Side<'a> {
    name: &'static str,
    ends: &'a Ends,
    at: SocketAddrV4,
}

fn compare(options: &Options, report: &mut Report) -> Result<()> {
    let network = |label| kernel::nodes_with_pods(Network::Vxlan, label);
    let (plain, _plain) = network(DIRECT)?;
    let (nft, nft_nodes) = network("nft")?;
    let (ipt, ipt_nodes) = network("ipt")?;
    let (tombolo, _lab) = ours::build(Network::Tombolo)?;
    for ends in [&plain, &nft, &ipt, &tombolo] {
        ends.client.settle()?;
        ends.server.settle()?;
    }
    let group = Group::make()?;
    let frontend = SocketAddrV4::new(FIRST, PORT);
    let server = |ends: &Ends| SocketAddrV4::new(ends.server.address, load::PORT);
    for size in &options.services {
        let count = size.count();
        kube::load(
            Rules::Nftables,
            &nft_nodes.name(kernel::CLIENT_NODE),
            count,
            server(&nft),
        )?;
        kube::load(
            Rules::Iptables,
            &ipt_nodes.name(kernel::CLIENT_NODE),
            count,
            server(&ipt),
        )?;
        let table = Table::start(group.folder(), (count, 1, 0), server(&tombolo))?;
        let side = |name, ends, at| Side { name, ends, at };
        let sides = [
            side(DIRECT, &plain, server(&plain)),
            side("nftables", &nft, frontend),
            side("iptables", &ipt, frontend),
            side(OURS, &tombolo, frontend),
        ];
        let length = Duration::from_secs_f64(options.seconds);
        for round in 0..options.rounds {
            for index in 0..sides.len() {
                // Another side begins each round, so that none always follows the same neighbour.
                let Side { name, ends, at } = sides[(index + round as usize) % sides.len()];
                // Nobody else's sockets even ask whether they go to a service.
                let _led = (name == OURS).then(|| group.enter()).transpose()?;
                let value = load::connections(ends, at, length)
                    .with_context(|| format!("measuring {name} with {count} services"))?;
                eprintln!(
                    "round {}: {name}, {count} services: {value:.0}/s",
                    round + 1
                );
                report.add(name, size.measure(), value);
            }
        }
        drop(table);
    }
    Ok(())
}

fn load_many(report: &mut Report) -> Result<()> {
    let group = Group::make()?;
    let server = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), load::PORT);
    let mut table = Table::start(group.folder(), LOADED, server)?;
    let loaded = table.loaded;
    let mut add = |name, unit, goal: Option<f64>, value| {
        let measure = report::Measure::new(name, unit);
        let measure = goal.map_or(measure, |most| measure.with(Goal::AtMost(most)));
        report.add(OURS, measure, value);
    };
    let rows = (LOADED.0 * LOADED.1) as f64;
    add("load_10000x100", "s", Some(5.0), loaded.seconds);
    add(
        "kernel_per_backend",
        "bytes",
        None,
        loaded.maps_bytes / rows,
    );
    add(
        "agent_per_backend",
        "bytes",
        None,
        loaded.resident_bytes / rows,
    );
    let mut times = (0..CHANGES)
        .map(|_| table.change())
        .collect::<Result<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
    add("change_1_of_10000", "µs", Some(100.0), times[CHANGES / 2]);
    add(
        "change_1_of_10000_p99",
        "µs",
        None,
        times[CHANGES * 99 / 100],
    );
    Ok(())
}
