//! The loop of a node: the one task that owns the world and speaks to the kernel.

mod audit;
mod path;

use crate::{
    checks::Checks,
    closer::{Order, Orders},
    clusters::Clusters,
    dns,
    health::Health,
    host::{self, Uplink},
    kernel::{Kernel, Refusal},
    kubernetes::Link,
    metrics::{self, Counts},
    monitor::{Hub, SUBSCRIBERS_MAX},
};
use anyhow::{Context as _, Result};
use std::{collections::BTreeSet, mem, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tombolo_datapath::{Dead, Events, WatchHandle};
use tombolo_linux::netlink::Netlink;
use tombolo_model::{
    World,
    drive::{self, Refused},
    fact::{EndpointFact, Fact},
    local::{Failure, FailureCode, Reply, Request, Status},
    name::{self, Question},
    record::Namespaced,
    service::Protocol,
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
    /// What a name has, and whom to ask else.
    Name(
        Question,
        Protocol,
        oneshot::Sender<(name::Answer, Vec<SocketAddr>)>,
    ),
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
            Command::Metrics(_) | Command::Name(..) => {}
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
    health: Option<Health>,
    orders: Option<Orders>,
    checks: Option<Checks>,
    names: Option<Arc<dns::Counts>>,
    /// Told once the own cluster's services are known.
    knowing: Option<oneshot::Sender<()>>,
    /// Where nobody is any more, until those connections are ordered to end.
    dead: BTreeSet<Dead>,
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
            health: None,
            orders: None,
            checks: None,
            names: None,
            knowing: None,
            dead: BTreeSet::new(),
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

    /// Who asks whether others answer, what is known of that, and who ends connections to those that don't.
    pub fn ask(&mut self, health: Health, silent: Fact, orders: Orders) {
        self.health = Some(health);
        self.orders = Some(orders);
        drop(self.step(silent));
    }

    /// Who answers balancers that ask for services.
    pub fn check(&mut self, checks: Checks) {
        self.checks = Some(checks);
    }

    /// Who answers questions for names, and how it is told that there is something to say.
    pub fn name(&mut self, counts: Arc<dns::Counts>, knowing: oneshot::Sender<()>) {
        self.names = Some(counts);
        self.knowing = Some(knowing);
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
                    self.look_after_health();
                }
                () = sleep_until(audit) => {
                    audit = Instant::now() + AUDIT;
                    self.audit();
                }
            }
            self.order_ends();
            self.look_after_checks();
            if self.world.knows_services() {
                // Whoever has ended needs no word.
                self.knowing.take().map(|knowing| knowing.send(()));
            }
        }
    }

    fn look_after_health(&mut self) {
        if let Some(health) = &self.health
            && let Some(aim) = self.world.take_aim()
        {
            health.aim(aim);
        }
    }

    fn look_after_checks(&mut self) {
        if let Some(checks) = &self.checks
            && let Some(wanted) = self.world.take_checks()
        {
            checks.set(wanted);
        }
    }

    fn order_ends(&mut self) {
        self.dead.append(&mut self.kernel.datapath.take_dead());
        if let Some(orders) = self.orders.as_ref().filter(|_| !self.dead.is_empty()) {
            let order = Order {
                dead: mem::take(&mut self.dead),
                namespaces: self.world.namespaces().map(str::to_owned).collect(),
            };
            if let Some(order) = orders.give(order) {
                self.dead = order.dead;
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
            Command::Name(question, protocol, answer) => {
                drop(answer.send(self.say_name(&question, protocol)));
            }
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

    fn say_name(&self, question: &Question, protocol: Protocol) -> (name::Answer, Vec<SocketAddr>) {
        let answer = self.world.name(question);
        let servers = match answer {
            name::Answer::Forward => self.world.name_servers(protocol),
            _ => Vec::new(),
        };
        (answer, servers)
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
                match self.world.service(&name, self.now()) {
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
        let tallies = self.health.as_ref().map(Health::tallies);
        let tallies = tallies.unwrap_or_default();
        for peer in &mut status.peers {
            let id = peer.cluster_id.unwrap_or_default();
            peer.path = tallies.get(&id).map(|both| self.path(id, *both));
        }
        status.names = self.names.as_ref().map(|counts| {
            let servers = self.world.name_servers(Protocol::Udp);
            counts.status(servers.len())
        });
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
            connections_ended: self.orders.as_ref().map_or(0, Orders::ended),
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
}

fn no_service(name: &Namespaced) -> Failure {
    let Namespaced { namespace, name } = name;
    Failure {
        code: FailureCode::NotFound,
        message: format!("no service {namespace}/{name} in this cluster"),
        hint: "a service of other clusters answers here once one of the same name and namespace is made here; see `tombolo service list`".into(),
    }
}
