//! A machine: its first process, its programs, and the way into its namespaces from outside.

use crate::{
    Error,
    error::Result,
    inside, kubernetes, learn,
    plan::{MachineId, Mesh, Namespace, NodeId, PodId},
    process::{Namespaces, Process, Start, last_words, own_program},
    programs,
    state::{Lab, Role, State},
};
use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};
use tombolo_linux::{cgroup, netns::Netns};

const INIT_PATIENCE: Duration = Duration::from_secs(10);
const PROGRAM_PATIENCE: Duration = Duration::from_secs(120);
const STOP_GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

impl State {
    /// A path inside of a machine, as the host reaches it.
    pub fn path_in(&self, machine: impl Into<MachineId>, path: &str) -> Result<PathBuf> {
        let init = self.process(machine, Role::Init)?;
        Ok(PathBuf::from(format!("/proc/{}/root{path}", init.pid)))
    }

    /// Where programs of a machine run.
    pub fn namespaces_of(&self, machine: impl Into<MachineId>) -> Result<Namespaces> {
        let init = self.process(machine, Role::Init)?;
        let file = |kind| Some(PathBuf::from(format!("/proc/{}/ns/{kind}", init.pid)));
        Ok(Namespaces {
            net: file("net"),
            mount: file("mnt"),
            uts: file("uts"),
            new_mounts: false,
        })
    }

    /// Where programs of a pod run: its own network, all else is the node's.
    pub fn namespaces_of_pod(&self, pod: PodId) -> Result<Namespaces> {
        self.pod(pod)?;
        Ok(Namespaces {
            net: Some(self.pod_netns(pod)?),
            ..self.namespaces_of(pod.node)?
        })
    }

    pub fn pod_netns(&self, pod: PodId) -> Result<PathBuf> {
        let path = Netns::path(&pod.to_string());
        self.path_in(pod.node, &path.display().to_string())
    }

    /// Nodes whose agent runs.
    pub fn served_nodes(&self) -> Vec<NodeId> {
        let nodes = self.shape.nodes();
        nodes
            .filter(|node| self.process(*node, Role::Agent).is_ok())
            .collect()
    }

    /// The words that do `words` inside of a machine, as one of its processes.
    pub fn words_in(&self, machine: impl Into<MachineId>, words: &[&str]) -> Result<Vec<String>> {
        let machine = machine.into();
        let own = own_program()?.display().to_string();
        let join = ["lab", "join", &self.cgroup(machine), "--"].map(str::to_owned);
        let mut all = vec![own.clone()];
        all.extend(join);
        all.extend(self.namespaces_of(machine)?.words());
        all.push(own);
        all.extend(words.iter().map(|word| (*word).to_owned()));
        Ok(all)
    }
}

/// Starts the process that holds the machine's namespaces; the network is there already.
pub fn start_init(lab: &mut Lab, machine: MachineId) -> Result<()> {
    let folder = lab.machine_folder(machine);
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let cgroup_name = lab.cgroup(machine);
    let mut words = ["lab", "init", &machine.to_string()]
        .map(str::to_owned)
        .to_vec();
    if let (MachineId::Node(_), Some(_)) = (machine, lab.shape.kubernetes) {
        cgroup::create_everywhere(&machine.cgroup(&lab.name))?;
        let images = kubernetes::make_disk(lab, machine)?;
        words.extend(["--images".to_owned(), images.display().to_string()]);
    }
    cgroup::create(&cgroup_name)?;
    let namespaces = Namespaces {
        new_mounts: true,
        ..Namespaces::of_net(&Namespace::Machine(machine).name(&lab.name))
    };
    let process = Start {
        namespaces: &namespaces,
        cgroup: &cgroup_name,
        log: &lab.log_file(machine, Role::Init),
        program: &own_program()?,
        arguments: &words,
        environment: &[],
    }
    .detached()?;
    remember(lab, machine, Role::Init, process)
}

pub fn wait_for_init(lab: &State, machine: MachineId) -> Result<()> {
    wait(lab, machine, Role::Init, INIT_PATIENCE, || {
        let ready = lab.path_in(machine, inside::READY)?.exists();
        Ok(if ready {
            None
        } else {
            Some("it is not ready".into())
        })
    })
}

/// Starts a program that does not run, and waits for nothing.
pub fn start(lab: &mut Lab, machine: MachineId, role: Role) -> Result<()> {
    check_role(lab, machine, role)?;
    if let (MachineId::Node(node), Role::Agent, Mesh::Facts) = (machine, role, lab.shape.mesh) {
        learn::write_facts(lab, node)?;
    }
    let (program, arguments) = match lab.shape.kubernetes {
        Some(objects) => kubernetes::words(lab, machine, role, objects)?,
        None => (own_program()?, programs::words(lab, machine, role)?),
    };
    let namespaces = match role {
        // Its port is this machine's.
        Role::Door => Namespaces::default(),
        _ => lab.namespaces_of(machine)?,
    };
    let process = Start {
        namespaces: &namespaces,
        cgroup: &lab.cgroup(machine),
        log: &lab.log_file(machine, role),
        program: &program,
        arguments: &arguments,
        environment: kubernetes::environment(role),
    }
    .detached()?;
    remember(lab, machine, role, process)
}

/// The programs of all machines that are chosen, control machines first.
pub fn programs(lab: &State, chosen: impl Fn(MachineId, Role) -> bool) -> Vec<(MachineId, Role)> {
    let roles = |machine| {
        Role::of(machine, &lab.shape)
            .iter()
            .map(move |role| (machine, *role))
    };
    let all = lab.machines.keys().copied().flat_map(roles);
    all.filter(|(machine, role)| chosen(*machine, *role))
        .collect()
}

pub fn check_role(lab: &State, machine: MachineId, role: Role) -> Result<()> {
    lab.machine(machine)?;
    let known = Role::of(machine, &lab.shape);
    if known.contains(&role) {
        return Ok(());
    }
    let known: Vec<&str> = known.iter().map(|role| role.name()).collect();
    Err(Error::NoRole {
        role: role.name(),
        machine,
        known: known.join(", "),
    })
}

/// Waits until the program says of itself that it is ready.
pub fn wait_until_ready(lab: &State, machine: MachineId, role: Role) -> Result<()> {
    wait(lab, machine, role, PROGRAM_PATIENCE, || {
        // Who can't be spoken to yet may be soon; who has died is found dead.
        Ok(programs::trouble(lab, machine, role).unwrap_or_else(|error| Some(error.to_string())))
    })
}

pub fn stop(lab: &Lab, machine: MachineId, role: Role) -> Result<()> {
    check_role(lab, machine, role)?;
    if let Ok(process) = lab.process(machine, role) {
        process.stop(STOP_GRACE)?;
    }
    Ok(())
}

pub fn kill(lab: &Lab, machine: MachineId, role: Role) -> Result<()> {
    check_role(lab, machine, role)?;
    lab.process(machine, role)?.kill()
}

fn remember(lab: &mut Lab, machine: MachineId, role: Role, process: Process) -> Result<()> {
    let known = lab.state.machines.entry(machine).or_default();
    known.processes.insert(role, process);
    lab.save()
}

/// Waits until nothing is missing any more.
pub fn wait(
    lab: &State,
    machine: MachineId,
    role: Role,
    patience: Duration,
    mut missing: impl FnMut() -> Result<Option<String>>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    let log = lab.log_file(machine, role);
    loop {
        if lab.process(machine, role).is_err() {
            return Err(Error::Died {
                role: role.name(),
                machine,
                log: last_words(&log),
            });
        }
        let Some(what) = missing()? else {
            return Ok(());
        };
        if Instant::now() > deadline {
            return Err(Error::TimedOut {
                role: role.name(),
                machine,
                what,
                seconds: patience.as_secs(),
                log: last_words(&log),
            });
        }
        thread::sleep(POLL);
    }
}
