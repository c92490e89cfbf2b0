//! What is remembered of a lab between two commands, in a folder of the lab's own.
//!
//! Never needed to take a lab down: names alone tell what belongs to it.

use crate::{
    Error,
    error::Result,
    plan::{
        Cluster, MachineId, NodeId, PodId, Shape, Target, check_name, cluster_name, parse_cluster,
    },
    process::Process,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use tombolo_linux::lock::{self, Lock};
use tombolo_model::net::PodAddresses;

mod role;
pub use role::Role;

pub const FOLDER: &str = "/run/tombolo-lab";
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(20);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub name: String,
    pub shape: Shape,
    /// False until `up` has ended well.
    pub made: bool,
    pub machines: BTreeMap<MachineId, Machine>,
    pub pods: BTreeMap<PodId, Pod>,
    /// Of a lab that is no bare one.
    #[serde(default)]
    pub kubernetes: Kubernetes,
    /// How many containers there have been.
    #[serde(default)]
    pub containers: u32,
    /// Numbers of clusters that are not those of their names.
    #[serde(default)]
    pub numbers: BTreeMap<u8, u8>,
    /// Pairs of clusters that have no files of each other.
    #[serde(default)]
    pub strangers: BTreeSet<(u8, u8)>,
    /// What was done to the wires of whole clusters.
    pub clusters: BTreeMap<u8, Faults>,
    /// Pairs of clusters that can't reach each other.
    pub cuts: BTreeSet<(u8, u8)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub processes: BTreeMap<Role, Process>,
    pub faults: Faults,
}

/// What clusters of Kubernetes have beside their machines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kubernetes {
    pub clusters: BTreeMap<u8, Cluster>,
    /// Where the programs of others are, by name.
    pub binaries: BTreeMap<String, PathBuf>,
    /// Ports of this machine that lead to the clusters' API servers.
    pub doors: BTreeMap<u8, u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Never used again, as a runtime's are not: a deletion that comes late must not hit a pod of the same name.
    pub container: String,
    pub identity: u32,
    pub addresses: PodAddresses,
}

/// What was done to a wire; nothing of it is a wire as made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Faults {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_mbit: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_percent: Option<f64>,
}

impl Faults {
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        words.extend(self.cut.then(|| "cut off".to_owned()));
        words.extend(self.mtu.map(|mtu| format!("mtu {mtu}")));
        words.extend(self.rate_mbit.map(|rate| format!("rate {rate} Mbit/s")));
        words.extend(
            self.delay_ms
                .map(|delay| format!("delay {delay} ms each way")),
        );
        words.extend(
            self.loss_percent
                .map(|loss| format!("loss {loss} % each way")),
        );
        words
    }
}

/// A lab that is there, with the right to change it if `lock` is held.
pub struct Lab {
    pub state: State,
    _lock: Option<Lock>,
}

impl std::ops::Deref for Lab {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl Lab {
    /// To look at, not to change.
    pub fn open(name: &str) -> Result<Lab> {
        check_name(name)?;
        let state = load(name)?;
        if !state.made {
            return Err(Error::Remains {
                lab: name.into(),
                remains: "`up` did not end well or is not done yet".into(),
            });
        }
        Ok(Lab { state, _lock: None })
    }

    pub fn open_to_change(name: &str) -> Result<Lab> {
        Lab::open(name)?;
        let lock = take_lock(name)?;
        let lab = Lab::open(name)?;
        Ok(Lab {
            _lock: Some(lock),
            ..lab
        })
    }

    pub fn create(name: &str, shape: Shape, kubernetes: Kubernetes) -> Result<Lab> {
        let folder = folder(name);
        fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        let lock = take_lock(name)?;
        if state_file(name).exists() {
            return Err(Error::LabExists { lab: name.into() });
        }
        let state = State {
            kubernetes,
            ..State::new(name, shape)
        };
        let lab = Lab {
            state,
            _lock: Some(lock),
        };
        lab.save()?;
        Ok(lab)
    }

    pub fn save(&self) -> Result<()> {
        let text = serde_json::to_vec_pretty(&self.state).expect("a state is plain data");
        write_whole(&state_file(&self.state.name), &text)
    }
}

impl State {
    /// Of a lab that has nothing yet.
    pub fn new(name: &str, shape: Shape) -> State {
        State {
            name: name.into(),
            shape,
            made: false,
            machines: BTreeMap::new(),
            pods: BTreeMap::new(),
            kubernetes: Kubernetes::default(),
            containers: 0,
            numbers: BTreeMap::new(),
            strangers: BTreeSet::new(),
            clusters: BTreeMap::new(),
            cuts: BTreeSet::new(),
        }
    }

    /// The nodes that there are now, whatever the lab was made with.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<'_> {
        self.machines.keys().filter_map(|machine| match machine {
            MachineId::Node(node) => Some(*node),
            MachineId::Control(_) => None,
        })
    }

    /// The number of a cluster, usually that of its name.
    pub fn cluster_id(&self, cluster: u8) -> u8 {
        self.numbers.get(&cluster).copied().unwrap_or(cluster)
    }

    /// What the cluster's own users call it.
    pub fn cluster_name(&self, cluster: u8) -> String {
        let named = self.kubernetes.clusters.get(&cluster);
        named.map_or_else(|| cluster_name(cluster), |named| named.name.clone())
    }

    /// The cgroup of the machine's own processes. Containers of a Kubernetes node are beside it: a group has processes or
    /// controlled groups, not both.
    pub fn cgroup(&self, machine: MachineId) -> String {
        let all = machine.cgroup(&self.name);
        match self.shape.kubernetes {
            Some(_) => format!("{all}/system"),
            None => all,
        }
    }

    /// Where a machine's logs are.
    pub fn machine_folder(&self, machine: MachineId) -> PathBuf {
        folder(&self.name).join(machine.to_string())
    }

    pub fn log_file(&self, machine: MachineId, role: Role) -> PathBuf {
        self.machine_folder(machine)
            .join(format!("{}.log", role.name()))
    }

    pub fn machine(&self, machine: impl Into<MachineId>) -> Result<&Machine> {
        let machine = machine.into();
        self.machines.get(&machine).ok_or_else(|| {
            let what = match machine {
                MachineId::Control(_) => "control machine",
                MachineId::Node(_) => "node",
            };
            let kind = std::mem::discriminant(&machine);
            let known = self
                .machines
                .keys()
                .filter(|known| std::mem::discriminant(*known) == kind);
            self.unknown(what, machine.to_string(), known)
        })
    }

    pub fn pod(&self, pod: PodId) -> Result<&Pod> {
        self.pods
            .get(&pod)
            .ok_or_else(|| self.unknown("pod", pod.to_string(), self.pods.keys()))
    }

    pub fn check_cluster(&self, cluster: u8) -> Result<()> {
        if cluster <= self.shape.clusters {
            return Ok(());
        }
        let known = self.shape.clusters().map(cluster_name);
        Err(self.unknown("cluster", cluster_name(cluster), known))
    }

    /// The cluster that people call so: by its own name, or by its number as in `cluster1` and `c1`.
    pub fn find_cluster(&self, text: &str) -> Result<u8> {
        let mut clusters = self.shape.clusters();
        let named = clusters.find(|cluster| self.cluster_name(*cluster) == text);
        let numbered = parse_cluster(text).filter(|cluster| *cluster <= self.shape.clusters);
        named.or(numbered).ok_or_else(|| {
            let known = self.shape.clusters();
            self.unknown(
                "cluster",
                text.into(),
                known.map(|known| self.cluster_name(known)),
            )
        })
    }

    pub fn check_target(&self, target: Target) -> Result<()> {
        match target {
            Target::Machine(machine) => self.machine(machine).map(drop),
            Target::Cluster(one) => self.check_cluster(one),
            Target::Pair(a, b) => self.check_cluster(a).and_then(|()| self.check_cluster(b)),
        }
    }

    fn unknown<T: ToString>(
        &self,
        what: &'static str,
        name: String,
        known: impl Iterator<Item = T>,
    ) -> Error {
        let known: Vec<String> = known.map(|known| known.to_string()).collect();
        Error::Unknown {
            lab: self.name.clone(),
            what,
            name,
            known: if known.is_empty() {
                "none".into()
            } else {
                known.join(", ")
            },
        }
    }

    pub fn process(&self, machine: impl Into<MachineId>, role: Role) -> Result<Process> {
        let machine = machine.into();
        self.machine(machine)?
            .processes
            .get(&role)
            .copied()
            .filter(|process| process.is_alive())
            .ok_or(Error::NotRunning {
                role: role.name(),
                machine,
            })
    }
}

pub fn folder(lab: &str) -> PathBuf {
    Path::new(FOLDER).join(lab)
}

fn state_file(lab: &str) -> PathBuf {
    folder(lab).join("state.json")
}

pub fn load(name: &str) -> Result<State> {
    let path = state_file(name);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Error::NoLab { lab: name.into() });
        }
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    serde_json::from_slice(&text).map_err(|source| Error::State {
        lab: name.into(),
        path,
        source,
    })
}

/// All labs that have a folder.
pub fn names() -> Vec<String> {
    let Ok(entries) = fs::read_dir(FOLDER) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| check_name(name).is_ok())
        .collect();
    names.sort();
    names
}

/// One command at a time changes a lab.
pub fn take_lock(name: &str) -> Result<Lock> {
    let path = folder(name).join("lock");
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        if let Some(lock) = Lock::acquire(&path)? {
            return Ok(lock);
        }
        if Instant::now() > deadline {
            return Err(Error::Busy {
                lab: name.into(),
                pid: lock::holder(&path).unwrap_or(0),
            });
        }
        thread::sleep(LOCK_POLL);
    }
}

/// Readers see the old text or the new, never a part.
pub fn write_whole(path: &Path, text: &[u8]) -> Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).map_err(Error::file("write", &draft))?;
    fs::rename(&draft, path).map_err(Error::file("replace", path))
}

#[cfg(test)]
mod tests;
