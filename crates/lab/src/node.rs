//! A node: its first process, its agent, and the way into its namespaces from outside.

use crate::{
    Error,
    api::Api,
    error::Result,
    facts::Facts,
    inside,
    plan::{Namespace, NodeId, PodId, cluster_name, pod_ranges},
    process::{Namespaces, Process, Start, last_words, own_program},
    state::{Lab, Role, State},
};
use ipnet::IpNet;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use tombolo_linux::{cgroup, netns::Netns};
use tombolo_model::local::{Reply, Request, SOCKET_PATH};

const INIT_PATIENCE: Duration = Duration::from_secs(10);
const AGENT_PATIENCE: Duration = Duration::from_secs(60);
const FACTS_PATIENCE: Duration = Duration::from_secs(10);
const STOP_GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

impl State {
    /// A path inside of a node, as the host reaches it.
    pub fn path_in(&self, node: NodeId, path: &str) -> Result<PathBuf> {
        let init = self.process(node, Role::Init)?;
        Ok(PathBuf::from(format!("/proc/{}/root{path}", init.pid)))
    }

    /// Where programs of a node run.
    pub fn namespaces_of_node(&self, node: NodeId) -> Result<Namespaces> {
        let init = self.process(node, Role::Init)?;
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
            ..self.namespaces_of_node(pod.node)?
        })
    }

    pub fn pod_netns(&self, pod: PodId) -> Result<PathBuf> {
        let path = Netns::path(&pod.to_string());
        self.path_in(pod.node, &path.display().to_string())
    }

    pub fn api(&self, node: NodeId) -> Result<Api> {
        Ok(Api::of(node, self.path_in(node, SOCKET_PATH)?))
    }
}

/// Starts the process that holds the node's namespaces; the network is there already.
pub fn start_init(lab: &mut Lab, node: NodeId) -> Result<()> {
    let folder = lab.node_folder(node);
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let cgroup_name = node.cgroup(&lab.name);
    cgroup::create(&cgroup_name)?;
    let namespaces = Namespaces {
        new_mounts: true,
        ..Namespaces::of_net(&Namespace::Node(node).name(&lab.name))
    };
    let words = ["lab", "init", &node.to_string()].map(str::to_owned);
    let process = Start {
        namespaces: &namespaces,
        cgroup: &cgroup_name,
        log: &lab.log_file(node, Role::Init),
        program: &own_program()?,
        arguments: &words,
    }
    .detached()?;
    remember(lab, node, Role::Init, process)
}

pub fn wait_for_init(lab: &State, node: NodeId) -> Result<()> {
    wait(lab, node, Role::Init, "the start", INIT_PATIENCE, || {
        Ok(lab.path_in(node, inside::READY)?.exists())
    })
}

pub fn start_agent(lab: &mut Lab, node: NodeId) -> Result<()> {
    write_facts(lab, node)?;
    let process = Start {
        namespaces: &lab.namespaces_of_node(node)?,
        cgroup: &node.cgroup(&lab.name),
        log: &lab.log_file(node, Role::Agent),
        program: &own_program()?,
        arguments: &agent_words(lab, node),
    }
    .detached()?;
    remember(lab, node, Role::Agent, process)
}

/// Many nodes share one machine's memory.
const FLOWS: u32 = 65_536;

fn agent_words(state: &State, node: NodeId) -> Vec<String> {
    let shape = &state.shape;
    let mut words = vec!["agent".to_owned()];
    let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
    option("cluster-name", cluster_name(node.cluster));
    option("cluster-id", node.cluster.to_string());
    option("node-name", node.to_string());
    for net in shape.node_addresses(node) {
        option("node-ip", net.addr().to_string());
    }
    for range in pod_ranges(node) {
        option("pod-range", range.to_string());
    }
    option("routing-mode", shape.routing.to_string());
    option("uplink", crate::fabric::NODE_DEVICE.into());
    option("facts", inside::FACTS.into());
    option("flow-table-size", FLOWS.to_string());
    if !shape.masquerade {
        words.push("--no-masquerade".into());
    }
    words
}

/// Ready is an agent that answers and knows all it was told.
pub fn wait_for_agent(lab: &State, node: NodeId) -> Result<()> {
    let what = "the start of the agent";
    wait(lab, node, Role::Agent, what, AGENT_PATIENCE, || {
        let status = lab.api(node)?.ask(&Request::Status);
        Ok(matches!(status, Ok(Reply::Status(status)) if status.synced))
    })?;
    wait_for_facts(lab, node, &BTreeSet::new())
}

pub fn write_facts(lab: &State, node: NodeId) -> Result<()> {
    let file = lab.path_in(node, inside::FACTS)?;
    Facts::of(lab, node).write(&file)
}

/// Waits until the agent shows all that its facts say, and nothing of what is `gone`.
pub fn wait_for_facts(lab: &State, node: NodeId, gone: &BTreeSet<IpNet>) -> Result<()> {
    let expected = Facts::of(lab, node).prefixes();
    let api = lab.api(node)?;
    let what = "learning of the other nodes' pods";
    wait(lab, node, Role::Agent, what, FACTS_PATIENCE, || {
        let Ok(Reply::Addresses { addresses }) = api.ask(&Request::AddressList) else {
            return Ok(false);
        };
        let shown: BTreeSet<IpNet> = addresses.iter().map(|view| view.prefix).collect();
        Ok(expected.is_subset(&shown) && gone.is_disjoint(&shown))
    })
}

/// Tells every running agent of the pods as they now are, and waits until all know.
pub fn spread_facts(lab: &State, gone: &BTreeSet<IpNet>) -> Result<()> {
    let running: Vec<NodeId> = lab
        .nodes
        .keys()
        .copied()
        .filter(|node| lab.process(*node, Role::Init).is_ok())
        .collect();
    for node in &running {
        write_facts(lab, *node)?;
    }
    for node in running {
        if lab.process(node, Role::Agent).is_ok() {
            wait_for_facts(lab, node, gone)?;
        }
    }
    Ok(())
}

pub fn stop_agent(lab: &mut Lab, node: NodeId) -> Result<()> {
    lab.node(node)?;
    if let Ok(agent) = lab.process(node, Role::Agent) {
        agent.stop(STOP_GRACE)?;
    }
    Ok(())
}

pub fn kill_agent(lab: &mut Lab, node: NodeId) -> Result<()> {
    lab.process(node, Role::Agent)?.kill()
}

pub fn replace_programs(lab: &Lab, node: NodeId) -> Result<()> {
    lab.process(node, Role::Agent)?;
    lab.api(node)?.ask(&Request::ProgramsReplace).map(drop)
}

fn remember(lab: &mut Lab, node: NodeId, role: Role, process: Process) -> Result<()> {
    let known = lab.state.nodes.entry(node).or_default();
    known.processes.insert(role, process);
    lab.save()
}

fn wait(
    lab: &State,
    node: NodeId,
    role: Role,
    what: &'static str,
    patience: Duration,
    mut done: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    let log: &Path = &lab.log_file(node, role);
    loop {
        if lab.process(node, role).is_err() {
            return Err(Error::Died {
                role: role.name(),
                node,
                log: last_words(log),
            });
        }
        if done()? {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::TimedOut {
                what,
                node,
                seconds: patience.as_secs(),
                log: last_words(log),
            });
        }
        thread::sleep(POLL);
    }
}
