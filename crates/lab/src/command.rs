//! The verbs of `tombolo lab`.

use crate::{
    Error, check, down,
    error::Result,
    fault, inside, logs, node,
    plan::{Fabric, Namespace, NodeId, PodId, Shape, Target, Underlay, parse_routing},
    pod,
    process::{Namespaces, join_and_become},
    relay,
    state::{self, Lab, Role},
    status, up,
};
use clap::{Args, Subcommand, ValueEnum};
use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};
use tombolo_model::net::RoutingMode;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a lab
    Up(Up),
    /// Remove a lab and all that belongs to it, also what is left of a broken one
    Down(Name),
    /// List the labs there are
    List,
    /// Show nodes, processes and pods
    Status {
        #[command(flatten)]
        lab: Name,
        #[command(flatten)]
        output: Output,
    },
    /// Send TCP, UDP and ICMP from every pod to every other and show who was reached
    Check {
        #[command(flatten)]
        lab: Name,
        #[command(flatten)]
        output: Output,
        /// Between pods and nodes, and from pods to the world, too
        #[arg(long)]
        all: bool,
    },
    /// Add and delete pods
    #[command(subcommand)]
    Pod(PodVerb),
    /// Stop, kill and start the agents of nodes
    #[command(subcommand)]
    Agent(AgentVerb),
    /// Run a program in a node (c1-n1), a pod (c1-n1-p1), a gateway (c1), the router or the world
    Exec {
        #[command(flatten)]
        lab: Name,
        place: String,
        #[arg(required = true, last = true)]
        words: Vec<String>,
    },
    /// Open a shell in a node, a pod, a gateway, the router or the world
    Enter {
        #[command(flatten)]
        lab: Name,
        place: String,
    },
    /// Show the log of a node's agent
    Logs {
        #[command(flatten)]
        lab: Name,
        node: NodeId,
        /// Go on showing what is added
        #[arg(short, long)]
        follow: bool,
    },
    /// Cut a node off, or a cluster, or two clusters from each other (cluster1:cluster2)
    Cut(At),
    /// Undo a cut
    Heal(At),
    /// Set the MTU of both ends of a node's wire, or of a cluster's to the router
    Mtu {
        #[command(flatten)]
        at: At,
        bytes: u32,
    },
    /// Limit a node's or a cluster's wire, both ways; 0 lifts the limit
    Rate {
        #[command(flatten)]
        at: At,
        mbit: u32,
    },
    /// Hold all that a node sends and gets for some milliseconds each way; 0 ends it
    Delay {
        #[command(flatten)]
        lab: Name,
        node: NodeId,
        ms: u32,
    },
    /// Lose a share of the packets of a node's or a cluster's wire, each way; 0 ends it
    Loss {
        #[command(flatten)]
        at: At,
        percent: f64,
    },
    #[command(flatten)]
    Hidden(Hidden),
}

/// Verbs that the lab starts itself by.
#[derive(Debug, Subcommand)]
pub enum Hidden {
    #[command(hide = true)]
    Join {
        cgroup: String,
        #[arg(required = true, last = true)]
        words: Vec<String>,
    },
    #[command(hide = true)]
    Init { host_name: String },
    #[command(hide = true)]
    Relay {
        #[arg(long)]
        delay_ms: u64,
        held: String,
        freed: String,
    },
    #[command(hide = true)]
    PodAdd(PodWords),
    #[command(hide = true)]
    PodDelete(PodWords),
}

#[derive(Debug, Args)]
pub struct PodWords {
    pod: String,
    identity: u32,
    plugin: PathBuf,
}

#[derive(Debug, Args)]
pub struct Name {
    /// Which lab, when there are several
    #[arg(long, default_value = "lab")]
    name: String,
}

#[derive(Debug, Args)]
pub struct Output {
    #[arg(short, long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub struct At {
    #[command(flatten)]
    lab: Name,
    target: Target,
}

#[derive(Debug, Args)]
pub struct Up {
    /// Nodes and pods as plain namespaces, without Kubernetes
    #[arg(long)]
    bare: bool,
    #[command(flatten)]
    lab: Name,
    #[arg(long, default_value_t = 2)]
    clusters: u8,
    /// Nodes of each cluster
    #[arg(long, default_value_t = 2)]
    nodes: u8,
    /// Pods of each node
    #[arg(long, default_value_t = 2)]
    pods: u8,
    /// How packets reach other nodes: tunnel or native
    #[arg(long, default_value_t = RoutingMode::Tunnel, value_parser = parse_routing)]
    routing_mode: RoutingMode,
    /// Addresses of the nodes: ipv4 (and IPv6 beside it) or ipv6 alone
    #[arg(long, value_enum, default_value_t = Underlay::Ipv4)]
    underlay: Underlay,
    /// What joins the nodes; direct is one wire between two nodes, for benchmarks
    #[arg(long, value_enum, default_value_t = Fabric::Router)]
    fabric: Fabric,
    /// Let pods speak to the world with their own addresses
    #[arg(long)]
    no_masquerade: bool,
}

#[derive(Debug, Subcommand)]
pub enum PodVerb {
    /// Add a pod to a node
    Add {
        #[command(flatten)]
        lab: Name,
        node: NodeId,
        /// Its security identity, unless one of its own
        #[arg(long)]
        identity: Option<u32>,
    },
    /// Delete a pod
    Delete {
        #[command(flatten)]
        lab: Name,
        pod: PodId,
    },
}

#[derive(Debug, Subcommand)]
pub enum AgentVerb {
    /// Start the agent of a node where it does not run
    Start(OfNode),
    /// Ask the agent to end, and wait
    Stop(OfNode),
    /// Stop, start, and wait until it is ready
    Restart(OfNode),
    /// End the agent as kill -9 does
    Kill(OfNode),
    /// Have the agent replace all programs in the kernel
    Replace(OfNode),
}

#[derive(Debug, Args)]
pub struct OfNode {
    #[command(flatten)]
    lab: Name,
    node: NodeId,
}

/// Does what the verb says. The exit code is 0 only if all is as it should be.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(words) => return run_up(words),
        Command::Down(lab) => {
            let known = if down::down(&lab.name)? {
                "gone"
            } else {
                "not there"
            };
            answer(&format!("lab {} is {known}\n", lab.name))?;
        }
        Command::List => {
            let names = state::names();
            answer(
                &names
                    .iter()
                    .map(|name| format!("{name}\n"))
                    .collect::<String>(),
            )?;
        }
        Command::Status { lab, output } => return show_status(&lab.name, output.output),
        Command::Check { lab, output, all } => {
            return run_check(&lab.name, output.output, all);
        }
        Command::Pod(verb) => run_pod(verb)?,
        Command::Agent(verb) => run_agent(verb)?,
        Command::Exec { lab, place, words } => return enter(&lab.name, &place, &words),
        Command::Enter { lab, place } => {
            let shell = ["sh", "-c", r#"exec "${SHELL:-sh}""#].map(str::to_owned);
            return enter(&lab.name, &place, &shell);
        }
        Command::Logs { lab, node, follow } => {
            let lab = Lab::open(&lab.name)?;
            lab.node(node)?;
            logs::show(&lab.log_file(node, Role::Agent), follow)?;
        }
        Command::Cut(at) => fault::cut(&mut at.open()?, at.target, true)?,
        Command::Heal(at) => fault::cut(&mut at.open()?, at.target, false)?,
        Command::Mtu { at, bytes } => fault::set_mtu(&mut at.open()?, at.target, bytes)?,
        Command::Rate { at, mbit } => fault::set_rate(&mut at.open()?, at.target, mbit)?,
        Command::Loss { at, percent } => fault::set_loss(&mut at.open()?, at.target, percent)?,
        Command::Delay { lab, node, ms } => {
            fault::set_delay(&mut Lab::open_to_change(&lab.name)?, node, ms)?;
        }
        Command::Hidden(hidden) => run_hidden(hidden)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run_up(words: Up) -> Result<ExitCode> {
    if !words.bare {
        return Err(Error::NotBare);
    }
    let shape = Shape {
        clusters: words.clusters,
        nodes_per_cluster: words.nodes,
        pods_per_node: words.pods,
        routing: words.routing_mode,
        underlay: words.underlay,
        fabric: words.fabric,
        masquerade: !words.no_masquerade,
    };
    up::up(&words.lab.name, shape)?;
    Ok(ExitCode::SUCCESS)
}

fn show_status(name: &str, output: OutputFormat) -> Result<ExitCode> {
    let lab = Lab::open(name)?;
    let status = status::status(&lab.state);
    match output {
        OutputFormat::Text => answer(&status.text())?,
        OutputFormat::Json => answer(&json(&status))?,
    }
    Ok(exit_code(status.healthy()))
}

fn run_check(name: &str, output: OutputFormat, all: bool) -> Result<ExitCode> {
    let lab = Lab::open(name)?;
    let report = check::check(&lab.state, all)?;
    match output {
        OutputFormat::Text => answer(&check::table::text(&report))?,
        OutputFormat::Json => answer(&json(&report))?,
    }
    Ok(exit_code(report.all_well()))
}

fn run_pod(verb: PodVerb) -> Result<()> {
    match verb {
        PodVerb::Add {
            lab,
            node,
            identity,
        } => {
            let mut lab = Lab::open_to_change(&lab.name)?;
            let id = pod::add(&mut lab, node, identity)?;
            answer(&format!("{id}\n"))
        }
        PodVerb::Delete { lab, pod } => pod::delete(&mut Lab::open_to_change(&lab.name)?, pod),
    }
}

fn run_agent(verb: AgentVerb) -> Result<()> {
    let (AgentVerb::Start(of)
    | AgentVerb::Stop(of)
    | AgentVerb::Restart(of)
    | AgentVerb::Kill(of)
    | AgentVerb::Replace(of)) = &verb;
    let mut lab = Lab::open_to_change(&of.lab.name)?;
    let node = of.node;
    lab.node(node)?;
    match verb {
        AgentVerb::Start(_) if lab.process(node, Role::Agent).is_ok() => {
            answer(&format!("the agent of {node} runs already\n"))?;
        }
        AgentVerb::Start(_) => {
            node::start_agent(&mut lab, node)?;
            node::wait_for_agent(&lab, node)?;
        }
        AgentVerb::Stop(_) => node::stop_agent(&mut lab, node)?,
        AgentVerb::Restart(_) => {
            node::stop_agent(&mut lab, node)?;
            node::start_agent(&mut lab, node)?;
            node::wait_for_agent(&lab, node)?;
        }
        AgentVerb::Kill(_) => node::kill_agent(&mut lab, node)?,
        AgentVerb::Replace(_) => node::replace_programs(&lab, node)?,
    }
    Ok(())
}

/// Becomes the program.
fn enter(name: &str, place: &str, words: &[String]) -> Result<ExitCode> {
    let lab = Lab::open(name)?;
    let (namespaces, node) = if let Ok(node) = place.parse::<NodeId>() {
        (lab.namespaces_of_node(node)?, Some(node))
    } else if let Ok(pod) = place.parse::<PodId>() {
        (lab.namespaces_of_pod(pod)?, Some(pod.node))
    } else {
        (fabric_namespace(name, place)?, None)
    };
    let all = [namespaces.words(), words.to_vec()].concat();
    if let Some(node) = node {
        return Err(join_and_become(&node.cgroup(name), &all));
    }
    Err(crate::process::become_program(&all))
}

fn fabric_namespace(lab: &str, place: &str) -> Result<Namespaces> {
    let name = format!("{lab}-{place}");
    let there =
        Namespace::parse(lab, &name).is_some() && tombolo_linux::netns::Netns::exists(&name);
    if there {
        Ok(Namespaces::of_net(&name))
    } else {
        Err(Error::Unknown {
            lab: lab.into(),
            what: "place",
            name: place.into(),
            known: "nodes (c1-n1), pods (c1-n1-p1), gateways (c1), router and world".into(),
        })
    }
}

fn run_hidden(hidden: Hidden) -> Result<()> {
    match hidden {
        Hidden::Join { cgroup, words } => Err(join_and_become(&cgroup, &words)),
        Hidden::Init { host_name } => inside::init(&host_name),
        Hidden::Relay {
            delay_ms,
            held,
            freed,
        } => relay::run(Duration::from_millis(delay_ms), [&held, &freed]),
        Hidden::PodAdd(words) => words.call().add(),
        Hidden::PodDelete(words) => words.call().delete(),
    }
}

impl PodWords {
    fn call(&self) -> inside::PodCall<'_> {
        inside::PodCall {
            pod: &self.pod,
            identity: self.identity,
            plugin: &self.plugin,
        }
    }
}

impl At {
    fn open(&self) -> Result<Lab> {
        Lab::open_to_change(&self.lab.name)
    }
}

fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("reports are plain data");
    format!("{text}\n")
}

fn answer(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .map_err(Error::file("write", "the answer"))
}

fn exit_code(well: bool) -> ExitCode {
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
