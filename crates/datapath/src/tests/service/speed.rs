//! What one changed backend of many costs, from the fact to the kernel's maps, and how long many take at first.
//! To be run by itself: `cargo test --release -p tombolo-datapath speed -- --ignored --nocapture`.

use super::with_client;
use crate::{Datapath, tests::node::Node};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tombolo_model::{
    World,
    config::Config,
    event::Event,
    fact::{Fact, Source},
    id::ClusterId,
    net::RoutingMode,
    record::Namespaced,
    service::{
        Affinity, Definition, Offer, Offered, OfferedPort, Protocol, ServicePort, Sharing, State,
        WEIGHT_DEFAULT,
    },
};

const SLICES: usize = 100;
const ENDPOINTS: usize = 100;
const ROUNDS: usize = 1000;

fn name(text: String) -> Namespaced {
    Namespaced {
        namespace: "shop".into(),
        name: text,
    }
}

fn world() -> World {
    let config = Config {
        cluster: "c1".into(),
        cluster_id: ClusterId(1),
        clusters_max: 255,
        node: "n1".into(),
        addresses: vec!["192.0.2.1".parse().expect("an address")],
        pod_ranges: vec!["10.1.1.0/24".parse().expect("a range")],
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
    World::new(config).expect("a config")
}

fn definition(number: usize) -> Definition {
    let [.., high, low] = number.to_be_bytes();
    Definition {
        cluster_ips: vec![[172, 20, high, low].into()],
        ports: vec![ServicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: None,
        }],
        sharing: Sharing {
            global: true,
            shared: true,
            affinity: Affinity::Local,
        },
        ..Definition::default()
    }
}

fn slice(service: usize, slice: usize, first: State) -> Fact {
    let ports: Arc<[OfferedPort]> = OfferedPort::new("http", "TCP", 8080).into_iter().collect();
    let endpoints = (0..ENDPOINTS).map(|number| {
        let offered = Offered {
            state: if number == 0 { first } else { State::Active },
            node: Some("n1".into()),
            hostname: None,
            hints: None,
            ports: ports.clone(),
        };
        let address = [10, service as u8, slice as u8, number as u8].into();
        (address, offered)
    });
    let offer = Offer {
        service: name(format!("web-{service}")),
        cluster: "c1".into(),
        weight: WEIGHT_DEFAULT,
        endpoints: endpoints.collect(),
        problems: Vec::new(),
    };
    let key = name(format!("web-{service}-{slice}"));
    Fact::Slice(Source::Kubernetes, Event::Upsert(key, offer))
}

/// How many changes it took.
fn tell(world: &mut World, datapath: &mut Datapath, fact: Fact) -> usize {
    world
        .handle(fact, Duration::ZERO)
        .expect("no endpoint's fact is refused");
    let mut changes = 0;
    while let Some(change) = world.poll_change() {
        datapath.apply(&change).expect("the kernel takes it");
        world.applied(&change);
        changes += 1;
    }
    changes
}

#[test]
#[ignore = "a measurement"]
fn one_backend_of_ten_thousand() {
    with_client(|node: &mut Node, _| {
        let mut world = world();
        let datapath = &mut node.datapath;
        let start = Instant::now();
        for event in [Event::Upsert("shop".into(), None), Event::Synced] {
            tell(&mut world, datapath, Fact::Namespace(event));
        }
        for event in [
            Event::Restart,
            Event::Upsert(name("web-0".into()), definition(0)),
            Event::Synced,
        ] {
            tell(&mut world, datapath, Fact::Service(event));
        }
        tell(
            &mut world,
            datapath,
            Fact::Slice(Source::Kubernetes, Event::Restart),
        );
        for number in 0..SLICES {
            tell(&mut world, datapath, slice(0, number, State::Active));
        }
        let changes = tell(
            &mut world,
            datapath,
            Fact::Slice(Source::Kubernetes, Event::Synced),
        );
        println!(
            "{} backends at once: {:.1} ms, {changes} changes",
            SLICES * ENDPOINTS,
            start.elapsed().as_secs_f64() * 1e3
        );
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let state = [State::Terminating, State::NotReady, State::Active][round % 3];
            let fact = slice(0, 50, state);
            let start = Instant::now();
            let changes = tell(&mut world, datapath, fact);
            times.push(start.elapsed());
            assert_eq!(changes, 1);
        }
        times.sort();
        println!(
            "one of them changed: median {:?}, 99 % within {:?}",
            times[ROUNDS / 2],
            times[ROUNDS * 99 / 100]
        );
    });
}
