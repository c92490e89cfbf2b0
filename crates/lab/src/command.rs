//! The verbs of `tombolo lab`.

use crate::{
    ask::Ask,
    echo::Echo,
    error::Result,
    hold::Hold,
    plan::{MachineId, NodeId, PodId, Target},
    state::{Lab, Role},
};
use clap::{Args, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

mod binaries;
mod mesh;
mod node;
mod run;
mod up;
use mesh::{MeshVerb, ProcessVerb, StoreVerb};
use node::NodeVerb;
pub use run::run;
use up::Up;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a lab
    Up(Up),
    /// Remove a lab and all that belongs to it, also what is left of a broken one
    Down(Name),
    /// List the labs there are
    List,
    /// Name the file that leads kubectl and others to the clusters: KUBECONFIG=$(tombolo lab kubeconfig)
    Kubeconfig(Name),
    /// Show machines, processes and pods; the exit code is 0 only if all of them are well
    Status {
        #[command(flatten)]
        lab: Name,
        #[command(flatten)]
        output: Output,
    },
    /// Show who is reached: on a bare lab every pod by every other by TCP, UDP and ICMP; on clusters of Kubernetes pods of a
    /// Deployment `echo`, which is made in each of them and stays, by each other
    Check {
        #[command(flatten)]
        lab: Name,
        #[command(flatten)]
        output: Output,
        /// Bare: between pods and nodes, and from pods to the world, too
        #[arg(long)]
        all: bool,
        /// Bare: seconds for which agents may first learn of all pods; then it is asked all the same
        #[arg(long, default_value_t = 10)]
        wait: u64,
    },
    /// Give nodes images of containers
    #[command(subcommand)]
    Image(ImageVerb),
    /// Answer who this is and whom it was asked by, over HTTP, TCP and UDP; made for pods
    Echo(Echo),
    /// Ask such servers; made for pods
    Ask {
        #[command(flatten)]
        ask: Ask,
        #[command(flatten)]
        output: Output,
    },
    /// Hold connections to such servers open and tell which of them broke; made for pods
    Hold {
        #[command(flatten)]
        hold: Hold,
        #[command(flatten)]
        output: Output,
    },
    /// Add and delete pods of a bare lab
    #[command(subcommand)]
    Pod(PodVerb),
    /// Add nodes to clusters of Kubernetes, and take them away
    #[command(subcommand)]
    Node(NodeVerb),
    /// Stop, kill and start the programs of machines
    #[command(subcommand)]
    Process(ProcessVerb),
    /// Change who is in whose mesh
    #[command(subcommand)]
    Mesh(MeshVerb),
    /// Hurt the store of a cluster
    #[command(subcommand)]
    Store(StoreVerb),
    /// Run a program in a node (c1-n1), a pod (c1-n1-p1), where a cluster's own programs run (c1-control), a gateway (c1),
    /// the router or the world
    Exec {
        #[command(flatten)]
        lab: Name,
        place: String,
        #[arg(required = true, last = true)]
        words: Vec<String>,
    },
    /// Open a shell in such a place
    Enter {
        #[command(flatten)]
        lab: Name,
        place: String,
    },
    /// Show the log of a program
    Logs {
        #[command(flatten)]
        lab: Name,
        machine: MachineId,
        /// Which of the machine's programs, if it has several
        role: Option<Role>,
        /// Go on showing what is added
        #[arg(short, long)]
        follow: bool,
    },
    /// Cut a machine off, or a cluster, or two clusters from each other (cluster1:cluster2)
    Cut(At),
    /// Undo a cut
    Heal(At),
    /// Set the MTU of both ends of a machine's wire, or of a cluster's to the router
    Mtu {
        #[command(flatten)]
        at: At,
        bytes: u32,
    },
    /// Limit a machine's or a cluster's wire, both ways; 0 lifts the limit
    Rate {
        #[command(flatten)]
        at: At,
        mbit: u32,
    },
    /// Hold all that a machine sends and gets for some milliseconds each way; 0 ends it
    Delay {
        #[command(flatten)]
        lab: Name,
        machine: MachineId,
        ms: u32,
    },
    /// Lose a share of the packets of a machine's or a cluster's wire, each way; 0 ends it
    Loss {
        #[command(flatten)]
        at: At,
        percent: f64,
    },
    /// Have the programs that clusters are made of: from PATH, the user's cache, or built into it by Go
    Binaries(binaries::Binaries),
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
    Init {
        host_name: String,
        #[arg(long)]
        images: Option<PathBuf>,
    },
    #[command(hide = true)]
    Door {
        port: u16,
        netns: String,
        to: SocketAddr,
    },
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
    container: String,
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
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        output: Output,
    },
    /// Delete a pod
    Delete {
        #[command(flatten)]
        lab: Name,
        pod: PodId,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Subcommand)]
pub enum ImageVerb {
    /// Give all nodes the images in an archive, as `docker save` and others write them
    Load {
        #[command(flatten)]
        lab: Name,
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Wait {
    /// Do not wait until it is ready and known to all
    #[arg(long)]
    no_wait: bool,
}

impl At {
    fn open(&self) -> Result<Lab> {
        Lab::open_to_change(&self.lab.name)
    }
}
