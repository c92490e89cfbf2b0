//! The loop of a node: the one task that owns the world and speaks to the kernel.

use crate::{
    clusters::Clusters,
    host::{self, Uplink},
    kernel::{Kernel, Refusal},
    kubernetes::Link,
    metrics::{self, Counts},
    monitor::{Hub, SUBSCRIBERS_MAX},
    restore,
};
use anyhow::{Context as _, Result};
use std::{collections::BTreeSet, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tombolo_datapath::{Events, WatchHandle};
use tombolo_linux::netlink::Netlink;
use tombolo_model::{
    World,
    drive::{self, Refused},
    fact::{EndpointFact, Fact},
    local::{Failure, FailureCode, Reply, Request, Status},
    record::Namespaced,
    world::Answer,
};

/// How often what the kernel holds is compared with what it should hold.
const AUDIT: Duration = Duration::from_secs(300);
/// How often the ring's loss is looked at, while somebody watches, and who has gone away.
const TICK: Duration = Duration::from_secs(1);
/// Between two looks at the way to the nodes: a storm of route changes costs no more.
const REFRESH_PAUSE: Duration = Duration::from_millis(100);
/// How long a caller waits for the loop.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What others ask of the loop.
pub enum Command {
    Ask(Request, oneshot::Sender<Reply>),
    Monitor {
        allowed: bool,
        answer: oneshot::Sender<Result<mpsc::Receiver<Reply>, Failure>>,
    },
    Metrics(oneshot::Sender<String>),
    /// Answered by whoever takes commands.
    Alive(oneshot::Sender<()>),
    /// Answered well by a loop that turns.
    Ready(oneshot::Sender<Result<(), Failure>>),
}

impl Command {
    /// In the place of a loop that does not turn yet.
    pub fn refuse(self, failure: Failure) {
        match self {
            Command::Ask(_, answer) => drop(answer.send(Reply::Error(failure))),
            Command::Monitor { answer, .. } => drop(answer.send(Err(failure))),
            Command::Ready(answer) => drop(answer.send(Err(failure))),
            Command::Alive(answer) => drop(answer.send(())),
            // Whoever asks sees that nobody answers.
            Command::Metrics(_) => {}
        }
    }
}

/// Nothing when the loop is busy for too long or has ended.
pub async fn ask(commands: &mpsc::Sender<Command>, request: Request) -> Option<Reply> {
    answer(commands, |sender| Command::Ask(request, sender)).await
}

pub async fn answer<T>(
    commands: &mpsc::Sender<Command>,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    let exchange = async {
        commands.send(command(sender)).await.ok()?;
        receiver.await.ok()
    };
    tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.ok()?
}

pub struct NodeLoop {
    pub world: World,
    pub kernel: Kernel,
    pub netlink: Netlink,
    pub uplinks: Vec<Uplink>,
    pub started: Instant,
    clusters: Clusters,
    kubernetes: Option<Link>,
    /// Until when clusters are waited for.
    patience: Option<Instant>,
    hub: Hub,
    counts: Counts,
    tells_allowed: bool,
    events_lost: u64,
    last_refused: Option<String>,
    uplink_warnings: Vec<String>,
}

/// Where the loop hears from.
pub struct Inlets {
    pub commands: mpsc::Receiver<Command>,
    pub facts: mpsc::Receiver<Vec<Fact>>,
    pub events: Events,
    pub watch: WatchHandle,
}

impl NodeLoop {
    pub fn new(
        world: World,
        kernel: Kernel,
        netlink: Netlink,
        uplinks: Vec<Uplink>,
        started: Instant,
    ) -> NodeLoop {
        NodeLoop {
            world,
            kernel,
            netlink,
            uplinks,
            started,
            clusters: Clusters::default(),
            kubernetes: None,
            patience: None,
            hub: Hub::default(),
            counts: Counts::default(),
            tells_allowed: false,
            events_lost: 0,
            last_refused: None,
            uplink_warnings: Vec::new(),
        }
    }

    /// Who is read beside, and for how long a start waits for them. What they tell comes as facts.
    pub fn wait_for(&mut self, clusters: Clusters, patience: Duration) {
        self.clusters = clusters;
        self.patience = Some(Instant::now() + patience);
    }

    /// Who is told when endpoints change, and whose troubles are told of.
    pub fn link(&mut self, kubernetes: Link) {
        self.kubernetes = Some(kubernetes);
    }

    /// Until nobody is left who could ask. What the kernel holds stays.
    pub async fn run(mut self, mut inlets: Inlets) -> Result<()> {
        let mut audit = Instant::now() + AUDIT;
        let mut tick = Instant::now() + TICK;
        let mut refresh: Option<Instant> = None;
        let far = Duration::from_secs(86_400);
        loop {
            let timeout = self
                .world
                .poll_timeout()
                .map_or(Instant::now() + far, |due| self.started + due);
            // Every arm is safe to cancel: channels, the ring and the watch keep what was not taken.
            tokio::select! {
                command = inlets.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return Ok(()),
                },
                Some(facts) = inlets.facts.recv() => facts.into_iter().for_each(|fact| drop(self.step(fact))),
                flows = inlets.events.read() => self.hub.publish(&flows.context("reading the events of the programs")?),
                changed = inlets.watch.changed(), if refresh.is_none() => {
                    changed.context("watching the node's routes and devices")?;
                    refresh = Some(Instant::now() + REFRESH_PAUSE);
                }
                () = sleep_until(refresh.unwrap_or(tick)), if refresh.is_some() => {
                    refresh = None;
                    self.refresh();
                }
                () = sleep_until(self.patience.unwrap_or(tick)), if self.patience.is_some() => {
                    self.patience = None;
                    self.go_on();
                }
                () = sleep_until(timeout) => {
                    let now = self.now();
                    let refused = drive::wake(&mut self.world, &mut self.kernel, now);
                    self.note(refused);
                }
                () = sleep_until(tick) => {
                    tick = Instant::now() + TICK;
                    self.look_after_monitors();
                }
                () = sleep_until(audit) => {
                    audit = Instant::now() + AUDIT;
                    self.audit();
                }
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn step(&mut self, fact: Fact) -> Result<Answer, Failure> {
        self.counts.facts += 1;
        let now = self.now();
        let of_endpoint = matches!(fact, Fact::Endpoint(_));
        let step = drive::step(&mut self.world, &mut self.kernel, fact, now);
        self.note(step.refused);
        if let (true, Some(kubernetes)) = (of_endpoint, &self.kubernetes) {
            kubernetes.changed.notify_one();
        }
        step.answer
    }

    /// Applies what a start has found to do.
    pub fn drain(&mut self) {
        let now = self.now();
        let refused = drive::drain(&mut self.world, &mut self.kernel, now);
        self.note(refused);
    }

    fn note(&mut self, refused: Vec<Refused>) {
        for Refused { change, error } in refused {
            self.counts.changes_refused += 1;
            tracing::warn!(
                ?change,
                "the kernel refused a change, it is tried again: {error}"
            );
            self.last_refused = Some(error);
        }
    }

    /// The time for clusters to be heard at a start is over.
    fn go_on(&self) {
        let status = self.world.status();
        if !status.awaited.is_empty() {
            tracing::warn!(
                clusters = status.awaited.join(", "),
                kept = status.kept,
                "not heard since the start: going on, and what is known of them from before stays"
            );
        }
    }

    fn obey(&mut self, command: Command) {
        // Whoever has stopped waiting for the answer does not need it.
        match command {
            Command::Ask(request, answer) => drop(answer.send(self.reply(request))),
            Command::Metrics(answer) => drop(answer.send(self.metrics())),
            Command::Alive(answer) => drop(answer.send(())),
            Command::Ready(answer) => drop(answer.send(Ok(()))),
            Command::Monitor { allowed, answer } => {
                let subscription = self.hub.subscribe(allowed).ok_or_else(|| Failure {
                    code: FailureCode::Unavailable,
                    message: format!("{SUBSCRIBERS_MAX} monitors are running already"),
                    hint: "end one of them".into(),
                });
                drop(answer.send(subscription));
                self.look_after_monitors();
            }
        }
    }

    fn reply(&mut self, request: Request) -> Reply {
        match request {
            Request::EndpointCreate {
                attachment,
                netns,
                pod,
                identity,
            } => self.change(EndpointFact::Reserve {
                attachment,
                netns,
                pod,
                identity,
            }),
            Request::EndpointAttach {
                attachment,
                ifindex,
                mac,
            } => match self.check_interface(&attachment, ifindex) {
                Ok(()) => self.change(EndpointFact::Attach {
                    attachment,
                    ifindex,
                    mac,
                }),
                Err(failure) => Reply::Error(failure),
            },
            Request::EndpointDelete { attachment } => {
                self.change(EndpointFact::Delete { attachment })
            }
            Request::EndpointKeep { attachments } => {
                self.change(EndpointFact::Keep { attachments })
            }
            Request::PolicySet { endpoint, entries } => {
                self.change(EndpointFact::Rules { endpoint, entries })
            }
            Request::EndpointList => Reply::Endpoints {
                endpoints: self.world.endpoints(),
            },
            Request::NodeList => Reply::Nodes {
                nodes: self.world.nodes(),
            },
            Request::AddressList => Reply::Addresses {
                addresses: self.world.addresses(),
            },
            Request::ServiceList => Reply::Services {
                services: self.world.services(),
            },
            Request::ServiceExplain { namespace, name } => {
                let name = Namespaced { namespace, name };
                match self.world.service(&name) {
                    Some(service) => Reply::Service(Box::new(service)),
                    None => Reply::Error(no_service(&name)),
                }
            }
            Request::Status => Reply::Status(Box::new(self.status())),
            Request::ProgramsReplace => match self.kernel.datapath.replace_programs() {
                Ok(()) => {
                    tracing::info!("programs replaced");
                    Reply::Done
                }
                Err(error) => Reply::Error(Failure {
                    code: FailureCode::Kernel,
                    message: format!("programs were not replaced: {}", Refusal::from(error)),
                    hint: "those that run go on".into(),
                }),
            },
            Request::Monitor { .. } => Reply::Error(Failure {
                code: FailureCode::BadRequest,
                message: "monitor has no single answer".into(),
                hint: String::new(),
            }),
        }
    }

    fn change(&mut self, fact: EndpointFact) -> Reply {
        let what = format!("{fact:?}");
        let answer = self.step(Fact::Endpoint(fact));
        match &answer {
            Ok(_) => tracing::debug!("done: {what}"),
            Err(failure) => tracing::warn!("refused: {failure}: {what}"),
        }
        match answer {
            Ok(Answer::Done) => Reply::Done,
            Ok(Answer::Planned(plan)) => Reply::Planned(plan),
            Ok(Answer::Endpoint(endpoint)) => {
                tracing::info!(endpoint = %endpoint.id, interface = endpoint.host_interface, "endpoint attached");
                Reply::Endpoint(*endpoint)
            }
            Err(failure) => Reply::Error(failure),
        }
    }

    /// The interface must be the planned one: after a crash the endpoint is known by its name.
    fn check_interface(
        &self,
        attachment: &tombolo_model::local::Attachment,
        ifindex: u32,
    ) -> Result<(), Failure> {
        let Some(planned) = self.world.planned_interface(attachment) else {
            return Ok(());
        };
        let message = match self.netlink.link_by_index(ifindex) {
            Ok(Some(link)) if link.name == planned => return Ok(()),
            Ok(Some(link)) => format!("interface {ifindex} is {}, not {planned}", link.name),
            Ok(None) => format!("there is no interface {ifindex}"),
            Err(error) => format!("interface {ifindex} can't be looked at: {error}"),
        };
        Err(Failure {
            code: FailureCode::BadRequest,
            message,
            hint: "make the interface as it was planned".into(),
        })
    }

    fn status(&self) -> Status {
        let mut status = self.world.status();
        status.synced |= self.patience.is_none() && self.world.synced_but_for_clusters();
        status.peers = self.clusters.statuses();
        status.version = env!("CARGO_PKG_VERSION").into();
        status.uptime_seconds = self.started.elapsed().as_secs();
        status.uplinks = self
            .uplinks
            .iter()
            .map(|uplink| uplink.name.clone())
            .collect();
        match self.kernel.datapath.counters() {
            Ok(counters) => {
                status.drops = counters
                    .drops
                    .into_iter()
                    .map(|(reason, (packets, _))| (reason, packets))
                    .collect();
                status.events_lost = counters.events_lost;
            }
            Err(error) => status
                .warnings
                .push(format!("the programs' counters can't be read: {error}")),
        }
        match self.kernel.datapath.flow_use() {
            Ok(flows) => status.flows = flows,
            Err(error) => status
                .warnings
                .push(format!("the flow table can't be read: {error}")),
        }
        if let Some(error) = self.last_refused.as_ref().filter(|_| status.pending > 0) {
            status.warnings.push(format!(
                "{} changes are not applied yet, the last error: {error}",
                status.pending
            ));
        }
        if let Some(kubernetes) = &self.kubernetes {
            let troubles = kubernetes.troubles.all().into_iter();
            let troubles = troubles.map(|(about, trouble)| format!("{about}: {trouble}"));
            status.warnings.extend(troubles);
        }
        status.warnings.extend(self.kernel.datapath.warnings());
        status.warnings.extend(self.uplink_warnings.clone());
        status
    }

    fn metrics(&mut self) -> String {
        let slow_path = self
            .kernel
            .datapath
            .counters()
            .map_or(0, |counters| counters.slow_path);
        let counts = Counts {
            monitors: self.hub.subscribers(),
            monitor_lost: self.hub.lost(),
            slow_path,
            ..self.counts
        };
        metrics::render(&self.status(), counts)
    }

    fn look_after_monitors(&mut self) {
        let wanted = self.hub.wants_allowed();
        if wanted != self.tells_allowed {
            match self.kernel.datapath.tell_allowed(wanted) {
                Ok(()) => self.tells_allowed = wanted,
                Err(error) => tracing::warn!(%error, "the programs can't be told what to tell"),
            }
        }
        if self.hub.subscribers() == 0 {
            return;
        }
        if let Ok(counters) = self.kernel.datapath.counters() {
            let lost = counters.events_lost.saturating_sub(self.events_lost);
            // The first look only learns where the counter stands.
            if self.events_lost > 0 && lost > 0 {
                self.hub.publish_lost(lost);
            }
            self.events_lost = counters.events_lost;
        }
    }

    fn refresh(&mut self) {
        if let Err(error) = self.kernel.datapath.refresh() {
            tracing::warn!(%error, "the way to other nodes can't be looked up");
        }
        let warnings = host::uplink_warnings(&self.netlink, &self.uplinks);
        for warning in warnings
            .iter()
            .filter(|warning| !self.uplink_warnings.contains(warning))
        {
            tracing::warn!("{warning}");
        }
        self.uplink_warnings = warnings;
    }

    /// Heals what was lost or changed behind our back.
    fn audit(&mut self) {
        let recovered = match self.kernel.datapath.recovered() {
            Ok(recovered) => recovered,
            Err(error) => {
                return tracing::warn!(%error, "the kernel's tables can't be read for comparison");
            }
        };
        match restore::tables(recovered, &self.netlink) {
            Ok(tables) => self.world.audit(tables),
            Err(error) => {
                return tracing::warn!("the kernel's tables can't be compared: {error:#}");
            }
        }
        match self.netlink.links() {
            Ok(links) => {
                let there: BTreeSet<u32> = links.iter().map(|link| link.index).collect();
                let gone =
                    self.world.endpoints().into_iter().filter(|endpoint| {
                        endpoint.ifindex != 0 && !there.contains(&endpoint.ifindex)
                    });
                for endpoint in gone {
                    tracing::info!(endpoint = %endpoint.id, interface = endpoint.host_interface, "its interface is gone, the endpoint is removed");
                    let fact = EndpointFact::InterfaceGone {
                        ifindex: endpoint.ifindex,
                    };
                    drop(self.step(Fact::Endpoint(fact)));
                }
            }
            Err(error) => tracing::warn!(%error, "the node's devices can't be listed"),
        }
        self.drain();
    }
}

fn no_service(name: &Namespaced) -> Failure {
    let Namespaced { namespace, name } = name;
    Failure {
        code: FailureCode::NotFound,
        message: format!("no service {namespace}/{name} in this cluster"),
        hint: "a service of other clusters answers here once one of the same name and namespace is made here; see `tombolo service list`".into(),
    }
}
