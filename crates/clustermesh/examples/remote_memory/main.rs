//! What it costs an agent to know other clusters: bytes for each endpoint, nanoseconds for each fact.
//!
//! Peers' stores are made up while they are read; everything from a page of a store to a change of the kernel's tables is
//! the agent's own path, on one thread. Instead of the kernel there is a counter. No network, no TLS, no kernel maps.

mod mesh;

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use tombolo_clustermesh::{
    Answer, Ask, Ids, Random, Scope, Ticket, drive::Reading as _, reader::Options, remote::Remote,
    remote::Told,
};
use tombolo_model::{
    World,
    change::Change,
    config::Config,
    drive::{Datapath, drain, step},
    endpoint::EndpointRecord,
    fact::{Fact, Source},
    id::{ClusterId, EndpointId},
    net::RoutingMode,
    record::Resource,
    world::Recovery,
};

use mesh::Mesh;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const OWN: ClusterId = ClusterId(511);

#[derive(Parser)]
struct Arguments {
    /// Clusters beside our own
    #[arg(long, default_value_t = 250)]
    clusters: u16,
    /// Pods of each cluster
    #[arg(long, default_value_t = 1000)]
    endpoints: u32,
    /// Nodes of each cluster
    #[arg(long, default_value_t = 20)]
    nodes: u32,
    /// Pods have IPv6 addresses
    #[arg(long)]
    ipv6: bool,
    /// End when all is listed, with bytes for each endpoint as a last line of JSON
    #[arg(long)]
    json: bool,
}

/// Counts what it is told.
#[derive(Default)]
struct Kernel {
    changes: u64,
}

impl Datapath for Kernel {
    type Error = std::convert::Infallible;

    fn apply(&mut self, _: &Change) -> Result<(), Self::Error> {
        self.changes += 1;
        Ok(())
    }

    fn remember(&mut self, _: &EndpointRecord) -> Result<(), Self::Error> {
        Ok(())
    }

    fn forget(&mut self, _: EndpointId) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// An agent, and what its parts have taken until now.
struct Agent {
    remotes: Vec<Remote>,
    ids: Ids,
    world: World,
    kernel: Kernel,
    /// Making the records is not counted.
    reading: Duration,
    deciding: Duration,
    records: u64,
    facts: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mesh = Mesh::new(&arguments)?;
    let mut agent = Agent::new(&arguments)?;
    let endpoints = u64::from(arguments.clusters) * u64::from(arguments.endpoints);
    println!(
        "{} clusters × {} endpoints = {endpoints}, {} nodes each, pods have {}",
        arguments.clusters,
        arguments.endpoints,
        arguments.nodes,
        if arguments.ipv6 { "IPv6" } else { "IPv4" }
    );

    let empty = (live(), resident()?);
    agent.round("all is listed", &mesh, |_| true)?;
    let full = (live(), resident()?);
    assert!(agent.world.synced());
    let of_each = |bytes: u64| bytes as f64 / endpoints as f64;
    if arguments.json {
        let (live, resident) = (of_each(full.0 - empty.0), of_each(full.1 - empty.1));
        println!("{}", json!({"live": live, "resident": resident}));
        return Ok(());
    }
    println!(
        "live    {:6.1} B for each endpoint, {:.1} MB in all",
        of_each(full.0 - empty.0),
        full.0 as f64 / 1e6
    );
    println!(
        "resident{:6.1} B for each endpoint, {:.1} MB in all (VmRSS)",
        of_each(full.1 - empty.1),
        full.1 as f64 / 1e6
    );
    agent.breakdown(of_each);

    agent.round("all is listed again", &mesh, |_| true)?;
    println!("live    {:+6.1} B", of_each(live()) - of_each(full.0));
    agent.round("one of ten is not repeated", &mesh, |pod| pod % 10 != 0)?;
    agent.round("it is back", &mesh, |_| true)?;
    println!("live    {:+6.1} B", of_each(live()) - of_each(full.0));
    let start = busy();
    agent.world.status();
    println!("a status takes {:?}", busy() - start);
    agent.audit();
    let mut agent = agent.again(&arguments)?;
    agent.round(
        "the agent has started anew, and all is listed",
        &mesh,
        |_| true,
    )
}

impl Agent {
    fn new(arguments: &Arguments) -> Result<Agent> {
        let clusters = 1..=arguments.clusters;
        let sources = clusters.clone().map(|id| Source::Cluster(ClusterId(id)));
        let config = Config {
            cluster: "own".to_owned(),
            cluster_id: OWN,
            clusters_max: 511,
            node: "n1".to_owned(),
            addresses: vec!["192.0.2.1".parse()?],
            pod_ranges: vec!["192.168.0.0/24".parse()?, "fd00:1::/64".parse()?],
            routing: RoutingMode::Tunnel,
            prefer_ipv6: false,
            pod_mtu: 1450,
            sources: sources.collect(),
            reads_clusters: false,
            zone: None,
            default_global_namespace: true,
            name_service: None,
            balancing: Default::default(),
        };
        let remotes = clusters.map(|id| {
            let options = Options {
                cluster: mesh::name(id),
                own: OWN,
                ours: false,
                clusters_max: 511,
                resources: vec![Resource::Nodes, Resource::Addresses],
                scope: Scope::All,
            };
            Remote::new(options, Random::new(u64::from(id)), Duration::ZERO)
        });
        let (mut world, mut kernel) = (World::new(config)?, Kernel::default());
        drain(&mut world, &mut kernel, Duration::ZERO);
        Ok(Agent {
            remotes: remotes.collect(),
            ids: Ids::default(),
            world,
            kernel,
            reading: Duration::ZERO,
            deciding: Duration::ZERO,
            records: 0,
            facts: 0,
        })
    }

    /// Compares with a kernel that holds what it was told.
    fn audit(&mut self) {
        let tables = self.world.held().clone();
        let (before, changes, start) = (live(), self.kernel.changes, busy());
        MEMORY.reset_peak_usage();
        self.world.audit(tables);
        drain(&mut self.world, &mut self.kernel, Duration::ZERO);
        println!(
            "an audit takes {:?}, {} changes, at its height {:.1} MB more than before and after",
            busy() - start,
            self.kernel.changes - changes,
            (MEMORY.peak_usage() as u64 - before) as f64 / 1e6
        );
    }

    /// What starts where this agent has left the kernel.
    fn again(self, arguments: &Arguments) -> Result<Agent> {
        let tables = self.world.held().clone();
        drop(self);
        let mut agent = Agent::new(arguments)?;
        let recovery = Recovery {
            tables,
            records: Vec::new(),
        };
        agent.world.recover(recovery);
        drain(&mut agent.world, &mut agent.kernel, Duration::ZERO);
        agent.kernel.changes = 0;
        Ok(agent)
    }

    /// Connects every remote anew and lets it list what its peer has.
    fn round(&mut self, what: &str, mesh: &Mesh, has: impl Fn(u32) -> bool) -> Result<()> {
        let before = (self.kernel.changes, live());
        (self.reading, self.deciding) = (Duration::ZERO, Duration::ZERO);
        (self.records, self.facts) = (0, 0);
        MEMORY.reset_peak_usage();
        for index in 0..self.remotes.len() {
            self.remotes[index].restart(Duration::ZERO);
            self.remotes[index].handle_timeout(Duration::ZERO);
            while let Some(request) = self.remotes[index].poll_request() {
                self.answer(index, request.ticket, request.ask, mesh, &has)?;
            }
        }
        let changes = self.kernel.changes - before.0;
        println!(
            "{what}: {} records, {} facts, {changes} changes",
            self.records, self.facts
        );
        println!(
            "  reading  {:6.0} ns a record, {:?} in all",
            self.reading.as_nanos() as f64 / self.records as f64,
            self.reading
        );
        println!(
            "  deciding {:6.0} ns a fact, {:?} in all",
            self.deciding.as_nanos() as f64 / self.facts as f64,
            self.deciding
        );
        let peak = MEMORY.peak_usage() as u64;
        println!(
            "  at its height {:.1} MB more than before and after",
            peak.saturating_sub(before.1.max(live())) as f64 / 1e6
        );
        Ok(())
    }

    fn answer(
        &mut self,
        index: usize,
        ticket: Ticket,
        ask: Ask,
        mesh: &Mesh,
        has: &impl Fn(u32) -> bool,
    ) -> Result<()> {
        let answer = match ask {
            Ask::Connect => Answer::Connected,
            Ask::Page { keys, from } => {
                let (page, next) = mesh.page(index as u16 + 1, &keys, from, has)?;
                self.records += page.records.len() as u64;
                Answer::Page(page, next)
            }
            Ask::Watch { .. } => Answer::Watching,
            Ask::Leave | Ask::Close => return Ok(()),
        };
        let start = busy();
        let remote = &mut self.remotes[index];
        remote.handle(ticket, answer, Duration::ZERO, &mut self.ids);
        let told = std::iter::from_fn(|| remote.poll_told()).flatten();
        let told: Vec<Told> = told.collect();
        self.reading += busy() - start;
        let start = busy();
        for told in told {
            if let Told::Fact(fact) = told {
                self.take(fact);
            }
        }
        self.deciding += busy() - start;
        Ok(())
    }

    fn take(&mut self, fact: Fact) {
        self.facts += 1;
        let step = step(&mut self.world, &mut self.kernel, fact, Duration::ZERO);
        assert_eq!(step.refused, []);
    }

    /// Which part holds how much, as far as parts can be told apart from outside.
    fn breakdown(&self, of_each: impl Fn(u64) -> f64) {
        let before = live();
        let held = self.world.held().clone();
        let rows = held.addresses.len();
        println!(
            "  of it what the kernel holds ({rows} addresses) {:.1} B",
            of_each(live() - before)
        );
    }
}

/// The CPU time of this thread: others may share the machine.
fn busy() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn live() -> u64 {
    MEMORY.current_usage() as u64
}

fn resident() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes.context("no VmRSS")?.trim().parse()?;
    Ok(kilobytes * 1024)
}
