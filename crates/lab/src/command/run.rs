//! What each verb does: opens the lab, calls the module that knows how, prints the answer.

use super::{Command, Hidden, ImageVerb, OutputFormat, PodVerb, PodWords, mesh, node};
use crate::{
    Error,
    ask::Ask,
    check, down,
    error::Result,
    fault,
    hold::Hold,
    inside, kubernetes, learn, logs, machine,
    plan::{MachineId, Namespace, NodeId, PodId},
    pod,
    process::{Namespaces, become_program, join_and_become},
    relay,
    state::{self, Lab, Role, State},
    status,
};
use std::{io::Write as _, process::ExitCode, time::Duration};
use tombolo_linux::netns::Netns;

/// Does what the verb says. The exit code is 0 only if all is as it should be.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(words) => words.run()?,
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
        Command::Kubeconfig(lab) => {
            let lab = Lab::open(&lab.name)?;
            kubernetes::of(&lab)?;
            answer(&format!(
                "{}\n",
                kubernetes::kubeconfig(&lab.name).display()
            ))?;
        }
        Command::Status { lab, output } => return show_status(&lab.name, output.output),
        Command::Check {
            lab,
            output,
            all,
            wait,
        } => {
            let wait = Duration::from_secs(wait);
            return run_check(&lab.name, output.output, all, wait);
        }
        Command::Image(ImageVerb::Load { lab, file }) => {
            let lab = Lab::open(&lab.name)?;
            kubernetes::of(&lab)?;
            let nodes: Vec<NodeId> = lab.nodes().collect();
            kubernetes::load_images(&lab, &nodes, &file)?;
        }
        Command::Echo(echo) => echo.run()?,
        Command::Ask { ask, output } => return run_ask(&ask, output.output),
        Command::Hold { hold, output } => return run_hold(&hold, output.output),
        Command::Pod(verb) => run_pod(verb)?,
        Command::Node(verb) => node::run(verb)?,
        Command::Process(verb) => mesh::run_process(verb)?,
        Command::Mesh(verb) => mesh::run_mesh(verb)?,
        Command::Store(verb) => mesh::run_store(verb)?,
        Command::Exec { lab, place, words } => return enter(&lab.name, &place, &words),
        Command::Enter { lab, place } => {
            let shell = ["sh", "-c", r#"exec "${SHELL:-sh}""#].map(str::to_owned);
            return enter(&lab.name, &place, &shell);
        }
        Command::Logs {
            lab,
            machine,
            role,
            follow,
        } => {
            let lab = Lab::open(&lab.name)?;
            let role = choose_role(&lab, machine, role)?;
            logs::show(&lab.log_file(machine, role), follow)?;
        }
        Command::Cut(at) => fault::cut(&mut at.open()?, at.target, true)?,
        Command::Heal(at) => fault::cut(&mut at.open()?, at.target, false)?,
        Command::Mtu { at, bytes } => fault::set_mtu(&mut at.open()?, at.target, bytes)?,
        Command::Rate { at, mbit } => fault::set_rate(&mut at.open()?, at.target, mbit)?,
        Command::Loss { at, percent } => fault::set_loss(&mut at.open()?, at.target, percent)?,
        Command::Delay { lab, machine, ms } => {
            fault::set_delay(&mut Lab::open_to_change(&lab.name)?, machine, ms)?;
        }
        Command::Binaries(words) => words.run()?,
        Command::Hidden(hidden) => run_hidden(hidden)?,
    }
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

fn run_check(name: &str, output: OutputFormat, all: bool, wait: Duration) -> Result<ExitCode> {
    let lab = Lab::open(name)?;
    if lab.shape.kubernetes.is_some() {
        let report = kubernetes::check(&lab)?;
        match output {
            OutputFormat::Text => answer(&report.text())?,
            OutputFormat::Json => answer(&json(&report))?,
        }
        return Ok(exit_code(report.well()));
    }
    // What is asked shows what that means.
    if let Err(error) = learn::wait(&lab, &lab.served_nodes(), wait) {
        eprintln!("{error}");
    }
    let report = check::check(&lab.state, all)?;
    match output {
        OutputFormat::Text => answer(&check::table::text(&report))?,
        OutputFormat::Json => answer(&json(&report))?,
    }
    Ok(exit_code(report.all_well()))
}

fn run_ask(ask: &Ask, output: OutputFormat) -> Result<ExitCode> {
    if output == OutputFormat::Json {
        let report = ask.report();
        answer(&json(&report))?;
        return Ok(exit_code(report.iter().all(|asked| asked.error.is_none())));
    }
    for said in ask.answers() {
        answer(&said?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_hold(hold: &Hold, output: OutputFormat) -> Result<ExitCode> {
    let held = hold.run()?;
    match output {
        OutputFormat::Text => answer(&held.text())?,
        OutputFormat::Json => answer(&json(&held))?,
    }
    Ok(exit_code(held.broken.is_empty()))
}

fn run_pod(verb: PodVerb) -> Result<()> {
    match verb {
        PodVerb::Add {
            lab,
            node,
            identity,
            wait,
            output,
        } => {
            let mut lab = Lab::open_to_change(&lab.name)?;
            check_bare(&lab, "pod")?;
            let id = pod::add(&mut lab, node, identity)?;
            // It is there, whoever knows of it.
            answer(&match output.output {
                OutputFormat::Text => format!("{id}\n"),
                OutputFormat::Json => json(&status::pod(id, lab.pod(id)?)),
            })?;
            spread(&lab, node, wait.no_wait, &format!("{id} is known to"))
        }
        PodVerb::Delete { lab, pod, wait } => {
            let mut lab = Lab::open_to_change(&lab.name)?;
            pod::delete(&mut lab, pod)?;
            spread(
                &lab,
                pod.node,
                wait.no_wait,
                &format!("{pod} is forgotten by"),
            )
        }
    }
}

/// Pods of Kubernetes are made and asked by its own means.
fn check_bare(lab: &State, verb: &'static str) -> Result<()> {
    match lab.shape.kubernetes {
        None => Ok(()),
        Some(_) => Err(Error::NotBare {
            lab: lab.name.clone(),
            verb,
        }),
    }
}

/// Waits until the nodes but the pod's own have heard, and says how soon they had.
fn spread(lab: &Lab, own: NodeId, no_wait: bool, what: &str) -> Result<()> {
    let mut nodes = lab.served_nodes();
    nodes.retain(|node| *node != own);
    if !no_wait && !nodes.is_empty() {
        let learnt = learn::wait(lab, &nodes, learn::PATIENCE)?;
        eprintln!("{what} {}", learn::words(&learnt));
    }
    Ok(())
}

/// The machine's only program, unless one is named.
fn choose_role(lab: &State, machine: MachineId, role: Option<Role>) -> Result<Role> {
    lab.machine(machine)?;
    let known = Role::of(machine, &lab.shape);
    match (role, known) {
        (Some(role), _) => {
            machine::check_role(lab, machine, role)?;
            Ok(role)
        }
        (None, [role]) => Ok(*role),
        (None, _) => Err(Error::WhichRole {
            machine,
            known: known
                .iter()
                .map(|role| role.name())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

/// Becomes the program.
fn enter(name: &str, place: &str, words: &[String]) -> Result<ExitCode> {
    let lab = Lab::open(name)?;
    let (namespaces, machine) = if let Ok(machine) = place.parse::<MachineId>() {
        (lab.namespaces_of(machine)?, Some(machine))
    } else if let Ok(pod) = place.parse::<PodId>() {
        (lab.namespaces_of_pod(pod)?, Some(pod.node.into()))
    } else {
        (fabric_namespace(name, place)?, None)
    };
    let all = [namespaces.words(), words.to_vec()].concat();
    if let Some(machine) = machine {
        return Err(join_and_become(&lab.cgroup(machine), &all));
    }
    Err(become_program(&all))
}

fn fabric_namespace(lab: &str, place: &str) -> Result<Namespaces> {
    let name = format!("{lab}-{place}");
    let there = Namespace::parse(lab, &name).is_some() && Netns::exists(&name);
    if there {
        Ok(Namespaces::of_net(&name))
    } else {
        Err(Error::Unknown {
            lab: lab.into(),
            what: "place",
            name: place.into(),
            known: "nodes (c1-n1), pods (c1-n1-p1), control machines (c1-control), gateways (c1), router and world"
                .into(),
        })
    }
}

fn run_hidden(hidden: Hidden) -> Result<()> {
    match hidden {
        Hidden::Join { cgroup, words } => Err(join_and_become(&cgroup, &words)),
        Hidden::Init { host_name, images } => inside::init(&host_name, images.as_deref()),
        Hidden::Door { port, netns, to } => kubernetes::run_door(port, &netns, to),
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
            container: &self.container,
            identity: self.identity,
            plugin: &self.plugin,
        }
    }
}

pub(super) fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("reports are plain data");
    format!("{text}\n")
}

pub(super) fn answer(text: &str) -> Result<()> {
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
