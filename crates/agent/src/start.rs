//! From options to a running node: everything is validated before anything is touched.

use crate::{
    api::Socket,
    checks::CheckServer,
    closer::Closer,
    clusters::{Clusters, Reader},
    dns::{NameServer, Resolver},
    facts::FactsFile,
    health::Asker,
    host,
    kernel::{Kernel, Refusal},
    kubernetes::{Kubernetes, Own},
    node::{Command, Inlets, NodeLoop},
    options::{Options, Underlay},
    pages::{AgentPages, NodePages},
    queue::Queue,
    restore::{self, Found},
};
use anyhow::{Context as _, Result, anyhow};
use ipnet::IpNet;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tombolo_control::{Handed, Server, Supervisor, start_log};
use tombolo_datapath::Datapath;
use tombolo_linux::{
    lock::{self, Lock},
    netlink::Netlink,
};
use tombolo_model::{
    World,
    change::Change,
    config::Config,
    fact::{Fact, Source},
    id::ClusterId,
};

/// Questions that wait for the loop; each caller has one at a time.
const COMMANDS: usize = 64;
/// Batches of facts that wait for the loop.
const FACTS: usize = 4;
/// Where the lock of the pins is, whatever the socket's path.
const RUN_FOLDER: &str = "/run/tombolo";

/// Runs the agent until it is asked to end. What it has put into the kernel stays and works on.
pub fn run(options: Options) -> Result<()> {
    start_log(options.log_format);
    options.names.check(options.kubernetes)?;
    let netlink = Netlink::open()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    if options.kubernetes {
        options.mesh.check(options.cluster_id)?;
        tombolo_datapath::probe().map_err(Refusal::from)?;
        let locks = take_locks(&options.socket, &options.pins)?;
        let outcome = runtime.block_on(begin(options, netlink));
        drop(locks);
        return outcome;
    }
    let checked = Checked::new(&options, None, &netlink)?;
    tombolo_datapath::probe().map_err(Refusal::from)?;
    let locks = take_locks(&options.socket, &options.pins)?;
    let outcome = runtime.block_on(serve(&options, checked, netlink, None));
    drop(locks);
    outcome
}

/// With Kubernetes it is learnt first what the node is. Until then whoever asks is told to try again: the agent is alive,
/// and not ready.
async fn begin(mut options: Options, netlink: Netlink) -> Result<()> {
    let memory = beside_pins(&options.pins, "node");
    let kubernetes = Kubernetes::connect(&options, memory).await?;
    let told = Own {
        addresses: options.node_ip.clone(),
        pod_ranges: Vec::new(),
        zone: None,
    };
    let socket = Socket::bind(&options.socket)?;
    let http = bind_pages(&options).await?;
    let (commands, mut asked) = mpsc::channel::<Command>(COMMANDS);
    let stop = CancellationToken::new();
    let pages = Arc::new(AgentPages(commands.clone()));
    let own = {
        let refusing = async {
            while let Some(command) = asked.recv().await {
                command.refuse(kubernetes.refusal());
            }
            std::future::pending().await
        };
        tokio::select! {
            own = kubernetes.learn(&told) => own,
            served = socket.serve(commands, None, stop.clone()) => {
                return served.and(Err(anyhow!("the local API ended before the agent")));
            }
            served = http.serve(pages, stop) => {
                return served.and(Err(anyhow!("the pages ended before the agent")));
            }
            () = refusing => unreachable!("it waits for ever"),
        }
    };
    options.node_ip = own.addresses;
    options.pod_range = own.pod_ranges;
    let checked = Checked::new(&options, own.zone, &netlink)?;
    serve(&options, checked, netlink, Some(kubernetes)).await
}

/// What the options mean on this node.
struct Checked {
    world: World,
    uplinks: Vec<host::Uplink>,
}

impl Checked {
    fn new(options: &Options, zone: Option<String>, netlink: &Netlink) -> Result<Checked> {
        let mut config = config(options);
        config.zone = zone;
        options.mesh.check(options.cluster_id)?;
        let uplinks = host::uplinks(netlink, &options.uplink, &options.node_ip)?;
        host::check_ranges(netlink, &config.pod_ranges)?;
        let underlay_mtu = host::underlay_mtu(&uplinks, options.mtu);
        config.pod_mtu = host::pod_mtu(underlay_mtu, config.routing, config.underlay_is_ipv6());
        Ok(Checked {
            world: World::new(config)?,
            uplinks,
        })
    }
}

fn config(options: &Options) -> Config {
    let file = options.facts.iter().map(|_| Source::File);
    let own = options.mesh.own_store.iter();
    let own = own.map(|_| Source::Cluster(ClusterId(options.cluster_id)));
    let kubernetes = options.kubernetes.then_some(Source::Kubernetes);
    Config {
        cluster: options.cluster_name.clone(),
        cluster_id: ClusterId(options.cluster_id),
        clusters_max: options.max_connected_clusters,
        node: options.node_name.clone(),
        addresses: options.node_ip.clone(),
        pod_ranges: options.pod_range.iter().map(ipnet::IpNet::trunc).collect(),
        routing: options.routing_mode,
        prefer_ipv6: options.underlay == Underlay::Ipv6,
        pod_mtu: 0,
        sources: file.chain(own).chain(kubernetes).collect(),
        reads_clusters: options.mesh.clustermesh_config.is_some(),
        zone: None,
        default_global_namespace: !options.mesh.no_default_global_namespace,
        name_service: options.names.service(),
        balancing: options.balancing.read(),
    }
}

fn take_locks(socket: &Path, pins: &Path) -> Result<Vec<Lock>> {
    let mut beside = socket.as_os_str().to_owned();
    beside.push(".lock");
    [beside_pins(pins, "lock"), PathBuf::from(beside)]
        .iter()
        .map(|path| take_lock(path))
        .collect()
}

/// A file that belongs to the pins and can't lie among them.
fn beside_pins(pins: &Path, kind: &str) -> PathBuf {
    let pins = pins.to_string_lossy().trim_matches('/').replace('/', "-");
    Path::new(RUN_FOLDER).join(format!("{pins}.{kind}"))
}

fn take_lock(path: &Path) -> Result<Lock> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    Lock::acquire(path)?.ok_or_else(|| match lock::holder(path) {
        Some(pid) => anyhow!("an agent runs on this node already (process {pid}): stop it first"),
        None => anyhow!("an agent runs on this node already: stop it first"),
    })
}

async fn serve(
    options: &Options,
    checked: Checked,
    netlink: Netlink,
    kubernetes: Option<Kubernetes>,
) -> Result<()> {
    let started = Instant::now();
    let Checked { world, uplinks } = checked;
    // Whatever can fail without the kernel's tables comes before they are touched.
    let http = bind_pages(options).await?;
    let door = bind_node_pages(options).await?;
    let facts = options.facts.as_deref().map(FactsFile::open).transpose()?;
    let queue = Queue::open(&options.delete_queue)?;
    let socket = Socket::bind(&options.socket)?;

    let wanted = datapath_config(options, &world, &uplinks);
    let mut datapath = open(wanted)?;
    let events = datapath.events().map_err(Refusal::from)?;
    let watch = datapath.watch().map_err(Refusal::from)?;
    let mut node = NodeLoop::new(world, Kernel { datapath }, netlink, uplinks, started);
    recover(&mut node)?;
    node.drain();

    let mut supervisor = Supervisor::new("the agent ends, the programs go on");
    let (commands, commands_receiver) = mpsc::channel(COMMANDS);
    let (facts_sender, facts_receiver) = mpsc::channel(FACTS);
    if let Some(secret) = options.mesh.secret()
        && let Some(folder) = &options.mesh.clustermesh_config
    {
        // Not waited for: what was handed out before is there, and without it nothing is known of others yet.
        let handed = Handed::open(&options.api, secret, folder).await?;
        supervisor.spawn("secret", handed.follow(supervisor.stop()));
    }
    if options.names.name_service.is_some() {
        let (knowing, ready) = oneshot::channel();
        let config = node.world.config();
        let resolver = Resolver::new(commands.clone(), askers(config));
        let counts = resolver.counts();
        let sockets = node.kernel.datapath.name_sockets().map_err(Refusal::from)?;
        let server = NameServer::open(config.router().iter(), resolver, sockets, ready).await?;
        node.name(counts, knowing);
        supervisor.spawn("names", server.follow(supervisor.stop()));
    }
    let (closer, orders) = Closer::new(node.kernel.datapath.led_sockets().map_err(Refusal::from)?);
    supervisor.spawn("closer", closer.follow(supervisor.stop()));
    let (checks, wanted) = CheckServer::new();
    node.check(wanted);
    supervisor.spawn(
        "checks",
        checks.follow(facts_sender.clone(), supervisor.stop()),
    );
    let silent = beside_pins(&options.pins, "silent");
    let router = node.world.config().router();
    let (asker, health) = Asker::open(silent, router.iter().next(), started)?;
    node.ask(health, asker.remembered(), orders);
    supervisor.spawn(
        "health",
        asker.follow(facts_sender.clone(), supervisor.stop()),
    );
    let clusters = clusters(options, &facts_sender, started);
    clusters.spawn(&mut supervisor);
    let patience = Duration::from_secs(options.mesh.clustermesh_sync_timeout);
    node.wait_for(clusters, patience);
    if let Some(door) = door {
        let pages = NodePages {
            commands: commands.clone(),
            leaves: kubernetes
                .as_ref()
                .map(Kubernetes::leaves)
                .unwrap_or_default(),
        };
        supervisor.spawn("door", door.serve(Arc::new(pages), supervisor.stop()));
    }
    let link = kubernetes.map(|kubernetes| {
        let config = node.world.config();
        kubernetes.spawn(config, &commands, facts_sender.clone(), &mut supervisor)
    });
    let identifier = link.as_ref().map(|link| link.identifier.clone());
    link.into_iter().for_each(|link| node.link(link));
    if let Some(facts) = facts {
        supervisor.spawn("facts", facts.follow(facts_sender, supervisor.stop()));
    }
    supervisor.spawn(
        "http",
        http.serve(Arc::new(AgentPages(commands.clone())), supervisor.stop()),
    );
    supervisor.spawn("queue", queue.follow(commands.clone(), supervisor.stop()));
    supervisor.spawn("api", socket.serve(commands, identifier, supervisor.stop()));
    let config = node.world.config();
    tracing::info!(cluster = config.cluster, node = config.node, pod_mtu = config.pod_mtu, routing = %config.routing, "the agent is ready");
    let inlets = Inlets {
        commands: commands_receiver,
        facts: facts_receiver,
        events,
        watch,
    };
    supervisor.run(node.run(inlets)).await
}

/// Who may ask for names here: the node's pods, and the node itself.
fn askers(config: &Config) -> Vec<IpNet> {
    let own = config.addresses.iter().copied().map(IpNet::from);
    own.chain(config.pod_ranges.iter().copied()).collect()
}

async fn bind_pages(options: &Options) -> Result<Server> {
    let server = Server::bind(options.listen).await;
    server.context("give --listen a free address")
}

async fn bind_node_pages(options: &Options) -> Result<Option<Server>> {
    let Some(address) = options.node_health else {
        return Ok(None);
    };
    let server = Server::bind(address).await;
    let server =
        server.context("give --node-health a free address; is there a kube-proxy on this node?");
    server.map(Some)
}

fn clusters(options: &Options, facts: &mpsc::Sender<Vec<Fact>>, started: Instant) -> Clusters {
    let reader = Reader {
        cluster: options.cluster_name.clone(),
        cluster_id: ClusterId(options.cluster_id),
        clusters_max: options.max_connected_clusters,
        // Nobody else tells of the own cluster's services, which others' are merged with.
        services: options.kubernetes,
    };
    let numbers = beside_pins(&options.pins, "clusters");
    Clusters::new(&options.mesh, &reader, numbers, facts, started)
}

/// A start that fails leaves nothing, unless an earlier one has left something that is at work.
fn open(config: tombolo_datapath::Config) -> Result<Datapath> {
    let pins = config.pins.clone();
    let first = !pins.exists();
    Datapath::open(config).map_err(|error| {
        if first && let Err(error) = tombolo_datapath::remove(&pins) {
            tracing::warn!(%error, "what was begun can't be taken away");
        }
        Refusal::from(error).into()
    })
}

fn datapath_config(
    options: &Options,
    world: &World,
    uplinks: &[host::Uplink],
) -> tombolo_datapath::Config {
    let config = world.config();
    tombolo_datapath::Config {
        pins: options.pins.clone(),
        uplinks: uplinks.iter().map(|uplink| uplink.name.clone()).collect(),
        node_addresses: config.addresses.clone(),
        router: config.router(),
        pod_ranges: config.pod_ranges.clone(),
        routing: config.routing,
        cluster: config.cluster_id,
        identity_shift: config.identity_shift(),
        pod_mtu: config.pod_mtu,
        masquerade: !options.no_masquerade,
        flows_max: options.flow_table_size,
        backends_max: options.backend_table_size,
        cgroup: options.cgroup.clone(),
    }
}

/// Takes up what an earlier agent left, and removes what belongs to nobody.
fn recover(node: &mut NodeLoop) -> Result<()> {
    let recovered = node
        .kernel
        .datapath
        .recovered()
        .context("reading the pinned maps")?;
    let Found {
        recovery,
        mut useless,
        strays,
    } = restore::look(recovered, &node.netlink)?;
    let datapath = &mut node.kernel.datapath;
    // The rows stand in the kernel already; what the data path keeps beside them it learns by being told again.
    let nodes = recovery
        .tables
        .nodes
        .iter()
        .map(|(slot, path)| Change::NodeSet(*slot, path.clone()));
    let routes = recovery
        .tables
        .routes
        .iter()
        .map(|range| Change::RouteSet(*range));
    for change in nodes.chain(routes) {
        if let Err(error) = datapath.apply(&change) {
            tracing::warn!(%error, ?change, "what was recovered can't be refreshed");
        }
    }
    tracing::info!(
        endpoints = recovery.records.len(),
        nodes = recovery.tables.nodes.len(),
        addresses = recovery.tables.addresses.len(),
        "recovered"
    );
    for record in node.world.recover(recovery) {
        tracing::warn!(endpoint = %record.id, "its record is in conflict with another's, the endpoint is removed");
        useless.push(record.id);
    }
    for id in useless {
        if node.world.record(id).is_none()
            && let Err(error) = node.kernel.datapath.forget(id)
        {
            tracing::warn!(%error, endpoint = %id, "its record can't be removed");
        }
    }
    for stray in strays {
        tracing::info!(
            interface = stray.name,
            "it is a pod's and belongs to no endpoint, removed"
        );
        if let Err(error) = node.netlink.delete_link(stray.ifindex) {
            tracing::warn!(%error, interface = stray.name, "it can't be removed");
        }
    }
    Ok(())
}
