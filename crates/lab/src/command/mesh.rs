//! The verbs for programs, and for the mesh that they make.

use super::{
    Name, Output, OutputFormat, Wait,
    run::{answer, json},
};
use crate::{
    error::Result,
    machine, mesh,
    plan::{MachineId, PlanError, parse_cluster},
    renumber,
    state::{Lab, Role},
    status,
};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum ProcessVerb {
    /// List all processes of the lab
    List {
        #[command(flatten)]
        lab: Name,
        #[command(flatten)]
        output: Output,
    },
    /// Start a program where it does not run
    Start {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        wait: Wait,
    },
    /// Ask a program to end, and wait
    Stop(Of),
    /// Stop it and start it
    Restart {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        wait: Wait,
    },
    /// End a program as kill -9 does
    Kill(Of),
}

#[derive(Debug, Args)]
pub struct Of {
    #[command(flatten)]
    lab: Name,
    machine: MachineId,
    /// Which of the machine's programs
    #[arg(value_enum)]
    role: Role,
}

#[derive(Debug, Subcommand)]
pub enum MeshVerb {
    /// Have two clusters read each other's stores
    Connect(Pair),
    /// Take two clusters out of each other's mesh
    Disconnect(Pair),
    /// Give a cluster another number, with which its programs, agents and pods begin anew
    Renumber {
        #[command(flatten)]
        lab: Name,
        #[arg(value_parser = cluster)]
        cluster: u8,
        number: u8,
    },
}

#[derive(Debug, Args)]
pub struct Pair {
    #[command(flatten)]
    lab: Name,
    #[arg(value_parser = cluster)]
    one: u8,
    #[arg(value_parser = cluster)]
    other: u8,
}

#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Have the store lose all that it holds: it is killed and started, and its memory was all it had
    Wipe {
        #[command(flatten)]
        lab: Name,
        #[arg(value_parser = cluster)]
        cluster: u8,
    },
}

fn cluster(text: &str) -> Result<u8, String> {
    parse_cluster(text).ok_or_else(|| "write it as cluster1 or c1".into())
}

pub fn run_process(verb: ProcessVerb) -> Result<()> {
    match verb {
        ProcessVerb::List { lab, output } => {
            let lab = Lab::open(&lab.name)?;
            let listed = status::processes(&lab.state);
            answer(&match output.output {
                OutputFormat::Text => status::list(&listed),
                OutputFormat::Json => json(&listed),
            })
        }
        ProcessVerb::Start { of, wait } => {
            let mut lab = Lab::open_to_change(&of.lab.name)?;
            if lab.process(of.machine, of.role).is_ok() {
                let (role, machine) = (of.role.name(), of.machine);
                return answer(&format!("the {role} of {machine} runs already\n"));
            }
            start(&mut lab, of.machine, of.role, &wait)
        }
        ProcessVerb::Restart { of, wait } => {
            let mut lab = Lab::open_to_change(&of.lab.name)?;
            machine::stop(&lab, of.machine, of.role)?;
            start(&mut lab, of.machine, of.role, &wait)
        }
        ProcessVerb::Stop(of) => {
            machine::stop(&Lab::open_to_change(&of.lab.name)?, of.machine, of.role)
        }
        ProcessVerb::Kill(of) => {
            machine::kill(&Lab::open_to_change(&of.lab.name)?, of.machine, of.role)
        }
    }
}

fn start(lab: &mut Lab, machine: MachineId, role: Role, wait: &Wait) -> Result<()> {
    machine::start(lab, machine, role)?;
    match wait.no_wait {
        true => Ok(()),
        false => machine::wait_until_ready(lab, machine, role),
    }
}

pub fn run_mesh(verb: MeshVerb) -> Result<()> {
    match verb {
        MeshVerb::Connect(pair) => {
            let mut lab = pair.open()?;
            mesh::connect(&mut lab, pair.one, pair.other)
        }
        MeshVerb::Disconnect(pair) => {
            let mut lab = pair.open()?;
            mesh::disconnect(&mut lab, pair.one, pair.other)
        }
        MeshVerb::Renumber {
            lab,
            cluster,
            number,
        } => renumber::renumber(&mut Lab::open_to_change(&lab.name)?, cluster, number),
    }
}

impl Pair {
    fn open(&self) -> Result<Lab> {
        let lab = Lab::open_to_change(&self.lab.name)?;
        mesh::check_meshed(&lab, "a mesh that changes")?;
        lab.check_cluster(self.one)?;
        lab.check_cluster(self.other)?;
        if self.one == self.other {
            return Err(PlanError::Same { cluster: self.one }.into());
        }
        Ok(lab)
    }
}

pub fn run_store(verb: StoreVerb) -> Result<()> {
    let StoreVerb::Wipe { lab, cluster } = verb;
    let mut lab = Lab::open_to_change(&lab.name)?;
    mesh::check_meshed(&lab, "a store to wipe")?;
    lab.check_cluster(cluster)?;
    let control = MachineId::Control(cluster);
    machine::kill(&lab, control, Role::Store)?;
    machine::start(&mut lab, control, Role::Store)?;
    machine::wait_until_ready(&lab, control, Role::Store)
}
