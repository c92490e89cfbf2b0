//! A node that does nothing but lead the sockets of one control group to services; made for `cargo xtask bench service`.
//!
//! To be started in a network namespace of its own. The tables are made as an agent makes them, from facts. All services
//! but one have backends that nobody asks for. Says a line when it is ready, then obeys lines until standard input ends:
//! `change` changes one backend of a large service and answers with the microseconds that it took.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    io::{BufRead as _, Write as _, stdin, stdout},
    mem,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use tombolo_datapath::{Config, Datapath};
use tombolo_linux::{mount, netlink::Netlink};
use tombolo_model::{
    World,
    change::Change,
    config::Config as Node,
    drive,
    endpoint::EndpointRecord,
    event::Event,
    fact::{Fact, Source},
    id::{ClusterId, EndpointId},
    net::{PodAddresses, RoutingMode},
    record::Namespaced,
    service::{
        Definition, Offer, Offered, OfferedPort, Protocol, ServicePort, Sharing, State,
        WEIGHT_DEFAULT,
    },
};

const USAGE: &str = "services CGROUP SERVICES BACKENDS LARGE SERVER: the last two are the backends of one more service, 0 for \
                     none, and address and port of the one backend that answers, of the first service";
const BPFFS: &str = "/sys/fs/bpf";
/// As Kubernetes cuts them.
const SLICE: usize = 100;
const CLUSTER: ClusterId = ClusterId(1);

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

struct Table {
    world: World,
    kernel: Kernel,
}

struct Kernel {
    datapath: Datapath,
    /// Since this was asked last.
    changes: usize,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [cgroup, services, backends, large, server] = &words[..] else {
        return Err(USAGE.into());
    };
    let (services, backends, large) = (services.parse()?, backends.parse()?, large.parse()?);
    let server: SocketAddr = server.parse()?;
    let pins = PathBuf::from(format!("{BPFFS}/tombolo-services-{}", std::process::id()));
    let done = serve(cgroup, &pins, (services, backends, large), server);
    // With the pins all of it goes.
    fs::remove_dir_all(&pins)?;
    done
}

fn serve(
    cgroup: &str,
    pins: &Path,
    (services, backends, large): (usize, usize, usize),
    server: SocketAddr,
) -> Result<()> {
    let empty = resident_kib()?;
    let mut table = Table::open(cgroup, pins)?;
    let (maps_empty, start) = (maps_bytes()?, Instant::now());
    let changes = table.load(services, backends, server)?;
    let seconds = start.elapsed().as_secs_f64();
    let maps = maps_bytes()?.saturating_sub(maps_empty);
    let resident = resident_kib()?.saturating_sub(empty);
    if large > 0 {
        table.load_large(large)?;
    }
    println!(
        r#"{{"seconds":{seconds},"changes":{changes},"maps_bytes":{maps},"resident_bytes":{}}}"#,
        resident * 1024
    );
    stdout().flush()?;
    for (turn, line) in stdin().lock().lines().enumerate() {
        if line? != "change" {
            return Err("the only order is `change`".into());
        }
        println!("{}", table.change(large, turn)?.as_secs_f64() * 1e6);
        stdout().flush()?;
    }
    Ok(())
}

impl Table {
    fn open(cgroup: &str, pins: &Path) -> Result<Table> {
        let address = IpAddr::from([192, 0, 2, 1]);
        let node = Node {
            cluster: "c1".into(),
            cluster_id: CLUSTER,
            clusters_max: 255,
            node: "n1".into(),
            addresses: vec![address],
            pod_ranges: vec!["10.255.1.0/24".parse()?],
            routing: RoutingMode::Native,
            prefer_ipv6: false,
            pod_mtu: 1450,
            sources: vec![Source::Kubernetes],
            reads_clusters: false,
            zone: None,
            default_global_namespace: true,
            name_service: None,
            balancing: Default::default(),
        };
        if !mount::is_bpffs(Path::new(BPFFS)) {
            mount::bpffs(Path::new(BPFFS))?;
        }
        let netlink = Netlink::open()?;
        let lo = netlink.link("lo")?.ok_or("there is no lo")?;
        netlink.set_up(lo.index)?;
        netlink.add_address(lo.index, "192.0.2.1/32".parse()?)?;
        let datapath = Datapath::open(Config {
            pins: pins.to_owned(),
            uplinks: Vec::new(),
            node_addresses: vec![address],
            router: PodAddresses {
                v4: Some(Ipv4Addr::new(10, 255, 1, 1)),
                v6: None,
            },
            pod_ranges: node.pod_ranges.clone(),
            routing: RoutingMode::Native,
            cluster: CLUSTER,
            identity_shift: 16,
            pod_mtu: 1450,
            masquerade: false,
            flows_max: 1024,
            backends_max: 1 << 20,
            cgroup: Some(cgroup.into()),
        })?;
        let warnings = datapath.warnings();
        if !warnings.is_empty() {
            return Err(warnings.join("; ").into());
        }
        let world = World::new(node)?;
        let kernel = Kernel {
            datapath,
            changes: 0,
        };
        Ok(Table { world, kernel })
    }

    /// The first service is at 172.16.0.0, and so on upwards, port 80.
    fn load(&mut self, services: usize, backends: usize, server: SocketAddr) -> Result<usize> {
        let mut changes = self.tell(Fact::Service(Event::Restart))?;
        for number in 0..services {
            let event = Event::Upsert(name(&format!("web-{number}")), definition(number));
            changes += self.tell(Fact::Service(event))?;
        }
        changes += self.tell(Fact::Service(Event::Synced))?;
        let shop = Event::Upsert("shop".into(), None);
        changes += self.tell(Fact::Namespace(shop))?;
        changes += self.tell(Fact::Namespace(Event::Synced))?;
        changes += self.tell(Fact::Slice(Source::Kubernetes, Event::Restart))?;
        changes += self.tell(slice(
            "web-0",
            0,
            [(server.ip(), State::Active)],
            server.port(),
        ))?;
        for number in 1..services {
            for first in (0..backends).step_by(SLICE) {
                let numbers = first..backends.min(first + SLICE);
                let endpoints =
                    numbers.map(|index| (far(number * backends + index), State::Active));
                let fact = slice(&format!("web-{number}"), first, endpoints, 8080);
                changes += self.tell(fact)?;
            }
        }
        Ok(changes + self.tell(Fact::Slice(Source::Kubernetes, Event::Synced))?)
    }

    fn load_large(&mut self, backends: usize) -> Result<()> {
        let event = Event::Upsert(name("large"), definition(1 << 16));
        self.tell(Fact::Service(event))?;
        for first in (0..backends).step_by(SLICE) {
            let endpoints =
                (first..backends.min(first + SLICE)).map(|n| (very_far(n), State::Active));
            self.tell(slice("large", first, endpoints, 8080))?;
        }
        Ok(())
    }

    /// How long it takes from the fact to the kernel's tables.
    fn change(&mut self, backends: usize, turn: usize) -> Result<Duration> {
        let state = [State::Terminating, State::NotReady, State::Active][turn % 3];
        let first = backends / 2 / SLICE * SLICE;
        let numbers = first..backends.min(first + SLICE);
        let endpoints = numbers.map(|number| match number == first {
            true => (very_far(number), state),
            false => (very_far(number), State::Active),
        });
        let fact = slice("large", first, endpoints, 8080);
        let start = Instant::now();
        match self.tell(fact)? {
            1 => Ok(start.elapsed()),
            changes => Err(format!("one changed backend was {changes} changes").into()),
        }
    }

    /// How many changes it took.
    fn tell(&mut self, fact: Fact) -> Result<usize> {
        let step = drive::step(&mut self.world, &mut self.kernel, fact, Duration::ZERO);
        if let Some(refused) = step.refused.first() {
            return Err(refused.error.clone().into());
        }
        step.answer.map_err(|failure| failure.to_string())?;
        Ok(mem::take(&mut self.kernel.changes))
    }
}

impl drive::Datapath for Kernel {
    type Error = tombolo_datapath::Error;

    fn apply(&mut self, change: &Change) -> Result<(), Self::Error> {
        self.changes += 1;
        self.datapath.apply(change)
    }

    fn put_off(&mut self, change: &Change) -> Result<(), Self::Error> {
        self.changes += 1;
        self.datapath.put_off(change)
    }

    fn settle(&mut self) -> Result<(), Self::Error> {
        self.datapath.settle()
    }

    fn remember(&mut self, record: &EndpointRecord) -> Result<(), Self::Error> {
        unreachable!("endpoint {} was told by nobody", record.id)
    }

    fn forget(&mut self, id: EndpointId) -> Result<(), Self::Error> {
        unreachable!("endpoint {id} was told by nobody")
    }
}

fn name(text: &str) -> Namespaced {
    Namespaced {
        namespace: "shop".into(),
        name: text.into(),
    }
}

fn definition(number: usize) -> Definition {
    let [.., second, third, fourth] = (number as u32).to_be_bytes();
    Definition {
        cluster_ips: vec![[172, 16 + second, third, fourth].into()],
        ports: vec![ServicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: None,
        }],
        sharing: Sharing {
            global: true,
            shared: true,
            ..Sharing::default()
        },
        ..Definition::default()
    }
}

fn far(number: usize) -> IpAddr {
    let [.., second, third, fourth] = (number as u32).to_be_bytes();
    [100, 64 + second, third, fourth].into()
}

fn very_far(number: usize) -> IpAddr {
    let [.., third, fourth] = (number as u32).to_be_bytes();
    [198, 18, third, fourth].into()
}

fn slice(
    service: &str,
    number: usize,
    endpoints: impl IntoIterator<Item = (IpAddr, State)>,
    port: u16,
) -> Fact {
    let ports: Arc<[OfferedPort]> = OfferedPort::new("http", "TCP", port).into_iter().collect();
    let endpoints = endpoints.into_iter().map(|(address, state)| {
        let offered = Offered {
            state,
            node: Some("n1".into()),
            hostname: None,
            hints: None,
            ports: ports.clone(),
        };
        (address, offered)
    });
    let offer = Offer {
        service: name(service),
        cluster: "c1".into(),
        weight: WEIGHT_DEFAULT,
        endpoints: endpoints.collect::<BTreeMap<_, _>>(),
        problems: Vec::new(),
    };
    let key = name(&format!("{service}-{number}"));
    Fact::Slice(Source::Kubernetes, Event::Upsert(key, offer))
}

fn resident_kib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line
        .ok_or("no VmRSS")?
        .trim_end_matches("kB")
        .trim()
        .parse()?)
}

/// What the kernel holds for all maps that this process has open.
fn maps_bytes() -> Result<u64> {
    let mut bytes = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.trim().parse::<u64>().ok())
        };
        if let (Some(id), Some(held)) = (value("map_id:"), value("memlock:")) {
            bytes.insert(id, held);
        }
    }
    Ok(bytes.values().sum())
}
