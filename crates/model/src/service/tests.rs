use super::*;
use crate::{
    config::{Config, tests::config},
    drive::{Recorder, step, wake},
    event::Event,
    fact::{Fact, Source},
    local::ServiceView,
    tables::Tables,
    world::{Recovery, World},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

mod affinity;
mod annotation;
mod check;
mod grades;
mod hints;
mod oracle;
mod outside;
mod put_off;
mod recovery;
mod silent;
mod sources;
mod spaces;
mod tables;
mod trouble;

const T0: Duration = Duration::ZERO;
const OWN: Source = Source::Kubernetes;
const SECOND: Source = Source::Cluster(ClusterId(2));
const THIRD: Source = Source::Cluster(ClusterId(3));

struct Bench {
    world: World,
    kernel: Recorder,
}

impl Bench {
    fn new() -> Bench {
        let mut bench = Bench {
            world: World::new(config()).expect("a config"),
            kernel: Recorder::default(),
        };
        wake(&mut bench.world, &mut bench.kernel, T0);
        bench
    }

    /// With all that the own cluster has told: nothing.
    fn ready() -> Bench {
        let mut bench = Bench::new();
        for fact in [
            Fact::Service(Event::Synced),
            Fact::Slice(OWN, Event::Synced),
        ] {
            bench.tell(fact);
        }
        bench.kernel.log.clear();
        bench
    }

    /// Starts over what another left.
    fn over(former: &Recorder, config: Config) -> Bench {
        let mut world = World::new(config).expect("a config");
        world.recover(Recovery {
            tables: former.tables.clone(),
            records: Vec::new(),
        });
        let mut kernel = former.clone();
        kernel.log.clear();
        Bench { world, kernel }
    }

    fn tell(&mut self, fact: Fact) {
        let step = step(&mut self.world, &mut self.kernel, fact, T0);
        assert_eq!(step.refused, []);
    }

    fn define(&mut self, service: &str, definition: Definition) {
        self.tell(Fact::Service(Event::Upsert(name(service), definition)));
    }

    fn offer(&mut self, source: Source, slice: &str, offer: Offer) {
        self.tell(Fact::Slice(source, Event::Upsert(name(slice), offer)));
    }

    fn share(&mut self, source: Source, offer: Offer) {
        self.tell(Fact::Shared(
            source,
            Event::Upsert(offer.service.clone(), offer),
        ));
    }

    fn view(&self, service: &str) -> ServiceView {
        self.world.service(&name(service), T0).expect("the service")
    }

    /// Each backend's weight in the kernel, by address, and what is said of it.
    fn weights(&self, service: &str) -> Vec<(String, u16, String)> {
        let view = self.view(service);
        let said = view
            .backends
            .into_iter()
            .map(|it| (it.address, it.weight, it.reason));
        let said: Vec<_> = said.collect();
        for (address, weight, _) in &said {
            let held = self.kernel.tables.backends.iter();
            let mut held = held.filter(|((_, backend), _)| backend.to_string() == *address);
            let held = held.next().map_or(0, |(_, path)| path.weight);
            assert_eq!(
                held, *weight,
                "{address}: what is said is what the kernel has"
            );
        }
        said
    }
}

fn name(text: &str) -> Namespaced {
    Namespaced {
        namespace: "shop".into(),
        name: text.into(),
    }
}

fn http(port: u16) -> ServicePort {
    ServicePort {
        name: "http".into(),
        protocol: Protocol::Tcp,
        port,
        node_port: None,
    }
}

fn definition(ip: &str, sharing: Sharing) -> Definition {
    Definition {
        cluster_ips: vec![ip.parse().expect("an address")],
        ports: vec![http(80)],
        sharing,
        ..Definition::default()
    }
}

fn global(affinity: Affinity) -> Sharing {
    Sharing {
        global: true,
        shared: true,
        affinity,
    }
}

/// Endpoints by address and state, all at the port `http`, 8080.
fn offer(cluster: &str, service: &str, endpoints: &[(&str, State)]) -> Offer {
    let ports: Arc<[OfferedPort]> = [OfferedPort {
        name: "http".into(),
        protocol: Protocol::Tcp,
        port: 8080,
    }]
    .into();
    let offered = endpoints.iter().map(|(ip, state)| {
        let offered = Offered {
            state: *state,
            node: Some("n1".into()),
            hostname: None,
            hints: None,
            ports: ports.clone(),
        };
        (ip.parse().expect("an address"), offered)
    });
    Offer {
        service: name(service),
        cluster: cluster.into(),
        weight: WEIGHT_DEFAULT,
        endpoints: offered.collect(),
        problems: Vec::new(),
    }
}

fn web() -> Frontend {
    Frontend {
        ip: "10.96.0.10".parse().expect("an address"),
        port: 80,
        protocol: Protocol::Tcp,
    }
}

#[test]
fn one_of_ten_thousand_costs_one_change() {
    let mut bench = Bench::ready();
    bench.define("web", definition("10.96.0.10", global(Affinity::Local)));
    let part = |slice: usize, state| {
        let ips: Vec<String> = (0..100).map(|it| format!("10.1.{slice}.{it}")).collect();
        let endpoints: Vec<(&str, State)> = ips
            .iter()
            .enumerate()
            .map(|(index, ip)| (ip.as_str(), if index == 7 { state } else { State::Active }))
            .collect();
        offer("c1", "web", &endpoints)
    };
    for slice in 0..100 {
        bench.offer(OWN, &format!("web-{slice}"), part(slice, State::Active));
    }
    assert_eq!(bench.kernel.tables.backends.len(), 10_000);
    bench.kernel.log.clear();
    for state in [State::Terminating, State::NotReady, State::Active] {
        bench.offer(OWN, "web-50", part(50, state));
        assert_eq!(
            bench.kernel.log.len(),
            1,
            "{state:?}: {:?}",
            bench.kernel.log
        );
        bench.kernel.log.clear();
    }
}

#[test]
fn names_of_ports_lead() {
    let mut bench = Bench::ready();
    let mut service = definition("10.96.0.10", global(Affinity::None));
    service.ports.push(ServicePort {
        name: "dns".into(),
        protocol: Protocol::Udp,
        port: 53,
        node_port: Some(30_053),
    });
    service.balancer_ips = vec!["203.0.113.7".parse().expect("an address")];
    bench.define("web", service);
    let mut mixed = offer("c2", "web", &[("10.2.0.1", State::Active)]);
    for offered in mixed.endpoints.values_mut() {
        offered.ports = [
            ("http", Protocol::Tcp, 9000),
            ("dns", Protocol::Udp, 5353),
            ("dns", Protocol::Tcp, 54),
        ]
        .map(|(name, protocol, port)| OfferedPort {
            name: name.into(),
            protocol,
            port,
        })
        .into();
    }
    bench.share(SECOND, mixed);
    let rows = bench.kernel.tables.backends.keys();
    let rows: Vec<String> = rows
        .map(|(pool, backend)| format!("{pool} {backend}"))
        .collect();
    assert_eq!(
        rows,
        [
            "10.96.0.10:53/UDP 10.2.0.1:5353",
            "10.96.0.10:80/TCP 10.2.0.1:9000"
        ]
    );
    let node = config().addresses[0];
    let frontends = bench.kernel.tables.frontends.iter();
    let mut frontends: Vec<String> = frontends
        .map(|(it, path)| format!("{it} {}", path.pool))
        .collect();
    frontends.sort();
    let mut expected = vec![
        "10.96.0.10:53/UDP 10.96.0.10:53/UDP".to_owned(),
        "10.96.0.10:80/TCP 10.96.0.10:80/TCP".to_owned(),
        "203.0.113.7:53/UDP 10.96.0.10:53/UDP".to_owned(),
        "203.0.113.7:80/TCP 10.96.0.10:80/TCP".to_owned(),
    ];
    for address in config().addresses.iter().filter(|it| it.is_ipv4()) {
        expected.push(format!("{address}:30053/UDP 10.96.0.10:53/UDP"));
    }
    expected.sort();
    assert_eq!(frontends, expected, "on {node}");
}

#[test]
fn what_ends_leaves_nothing() {
    let mut bench = Bench::ready();
    bench.define("web", definition("10.96.0.10", global(Affinity::None)));
    bench.offer(
        OWN,
        "web-1",
        offer("c1", "web", &[("10.1.0.1", State::Active)]),
    );
    bench.share(SECOND, offer("c2", "web", &[("10.2.0.1", State::Active)]));
    bench.tell(Fact::Service(Event::Delete(name("web"))));
    assert_eq!(bench.kernel.tables, tables_without_services(&bench));
    // Offers are there before a definition comes again.
    bench.define("web", definition("10.96.0.11", global(Affinity::None)));
    assert_eq!(bench.kernel.tables.backends.len(), 2);
    // A cluster that is heard anew has nothing left.
    bench.tell(Fact::Shared(SECOND, Event::Restart));
    bench.tell(Fact::Shared(SECOND, Event::Synced));
    assert_eq!(bench.kernel.tables.backends.len(), 1);
    bench.tell(Fact::Slice(OWN, Event::Delete(name("web-1"))));
    assert_eq!(bench.kernel.tables.backends.len(), 0);
    assert_eq!(
        bench.kernel.tables.frontends.len(),
        1,
        "who calls is refused"
    );
}

#[test]
fn a_slice_may_change_its_service() {
    let mut bench = Bench::ready();
    bench.define("web", definition("10.96.0.10", global(Affinity::None)));
    bench.define("other", definition("10.96.0.11", global(Affinity::None)));
    bench.offer(
        OWN,
        "slice",
        offer("c1", "web", &[("10.1.0.1", State::Active)]),
    );
    bench.offer(
        OWN,
        "slice",
        offer("c1", "other", &[("10.1.0.1", State::Active)]),
    );
    let rows: Vec<Frontend> = bench
        .kernel
        .tables
        .backends
        .keys()
        .map(|(pool, _)| *pool)
        .collect();
    assert_eq!(
        rows,
        [Frontend {
            ip: "10.96.0.11".parse().expect("an address"),
            ..web()
        }]
    );
}

fn tables_without_services(bench: &Bench) -> Tables {
    Tables {
        frontends: BTreeMap::new(),
        backends: BTreeMap::new(),
        ..bench.kernel.tables.clone()
    }
}
