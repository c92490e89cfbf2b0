//! Random facts against a naive oracle that makes all rows anew from all facts, in the words of the specification.

use super::*;
use crate::random::Random;
use std::{collections::BTreeSet, net::IpAddr};

const SERVICES: [&str; 3] = ["api", "db", "web"];
const SOURCES: [Source; 3] = [OWN, SECOND, THIRD];
const STATES: [State; 4] = [
    State::Active,
    State::Terminating,
    State::Ending,
    State::NotReady,
];
const PORTS: [&str; 2] = ["http", "admin"];

#[derive(Default)]
struct Oracle {
    definitions: BTreeMap<Namespaced, Definition>,
    /// By source, whether it is a slice, and its name.
    offers: BTreeMap<(Source, bool, Namespaced), Offer>,
}

/// How well it knows, of which cluster it is, and the name of its slice.
type Speaker = (u8, ClusterId, String);

type Rows = BTreeMap<(Frontend, Backend), BackendPath>;

impl Oracle {
    fn cluster(source: Source) -> ClusterId {
        match source {
            Source::Cluster(id) => id,
            _ => config().cluster_id,
        }
    }

    fn has(&self, frontend: Frontend, name: &Namespaced) -> bool {
        let mut claims = Vec::new();
        for (other, definition) in &self.definitions {
            for (rank, ips) in [&definition.cluster_ips, &definition.external_ips]
                .iter()
                .enumerate()
            {
                for ip in *ips {
                    for port in &definition.ports {
                        let claimed = Frontend {
                            ip: *ip,
                            port: port.port,
                            protocol: port.protocol,
                        };
                        if claimed == frontend {
                            claims.push((rank, other));
                        }
                    }
                }
            }
        }
        claims.iter().min().is_some_and(|(_, owner)| *owner == name)
    }

    fn rows(&self) -> Rows {
        let mut rows = Rows::new();
        for (name, definition) in &self.definitions {
            for ip in &definition.cluster_ips {
                for port in &definition.ports {
                    let pool = Frontend {
                        ip: *ip,
                        port: port.port,
                        protocol: port.protocol,
                    };
                    if self.has(pool, name) {
                        rows.extend(self.pool(name, definition, pool, &port.name));
                    }
                }
            }
        }
        rows
    }

    fn pool(&self, name: &Namespaced, definition: &Definition, pool: Frontend, port: &str) -> Rows {
        let sharing = definition.sharing;
        // Whoever knows best speaks for an address: the own cluster, then slices, then records; lower numbers first.
        let mut best: BTreeMap<Backend, (Speaker, State, u16)> = BTreeMap::new();
        for ((source, is_slice, part), offer) in &self.offers {
            let cluster = Oracle::cluster(*source);
            if offer.service != *name {
                continue;
            }
            let rank = match (*source == OWN, is_slice) {
                (true, _) => 0,
                (false, true) => 1,
                (false, false) => 2,
            };
            for (ip, offered) in &offer.endpoints {
                for named in offered.ports.iter() {
                    if named.name == port
                        && named.protocol == pool.protocol
                        && ip.is_ipv4() == pool.ip.is_ipv4()
                    {
                        let backend = Backend {
                            ip: *ip,
                            port: named.port,
                        };
                        let claim = (
                            rank,
                            cluster,
                            if *is_slice {
                                part.name.clone()
                            } else {
                                String::new()
                            },
                        );
                        let is_better = best
                            .get(&backend)
                            .is_none_or(|(other, _, _)| claim < *other);
                        if is_better {
                            best.insert(backend, (claim, offered.state, offer.weight));
                        }
                    }
                }
            }
        }
        let own = config().cluster_id;
        let mut members: Vec<(Backend, ClusterId, State, u16)> = best
            .into_iter()
            .map(|(backend, ((_, cluster, _), state, weight))| (backend, cluster, state, weight))
            .collect();
        members.retain(|(_, cluster, _, _)| *cluster == own || sharing.global);
        let is_active = |state: State| state == State::Active;
        let is_healthy = |state: State| matches!(state, State::Active | State::Terminating);
        let any = |is_local: bool, is: &dyn Fn(State) -> bool| {
            members.iter().any(|(_, cluster, state, weight)| {
                (*cluster == own) == is_local && *weight > 0 && is(*state)
            })
        };
        let (use_local, use_remote) = match sharing.affinity {
            Affinity::None => (true, true),
            Affinity::Local => (true, !any(true, &is_active) && any(false, &is_healthy)),
            Affinity::Remote => (!any(false, &is_healthy) && any(true, &is_healthy), true),
        };
        let used = |cluster: ClusterId| {
            if cluster == own {
                use_local
            } else {
                use_remote
            }
        };
        let is_desperate = !members
            .iter()
            .any(|(_, cluster, state, weight)| used(*cluster) && *weight > 0 && is_active(*state));
        members
            .iter()
            .filter(|(_, _, state, _)| *state != State::NotReady)
            .map(|(backend, cluster, state, weight)| {
                let takes = used(*cluster)
                    && (is_active(*state) || is_desperate && *state == State::Terminating);
                let weight = if takes { *weight } else { 0 };
                (
                    (pool, *backend),
                    BackendPath {
                        cluster: *cluster,
                        weight,
                    },
                )
            })
            .collect()
    }
}

fn ip(text: String) -> IpAddr {
    text.parse().expect("an address")
}

fn random_definition(random: &mut Random) -> Definition {
    let mut ips = vec![ip(format!("10.96.0.{}", random.below(4)))];
    if random.one_in(3) {
        ips.push(ip(format!("fd00:96::{}", random.below(3))));
    }
    let count = 1 + random.below(2) as usize;
    let port = |(index, name): (usize, &&str)| ServicePort {
        name: (*name).into(),
        protocol: if random_bit(index, count) {
            Protocol::Udp
        } else {
            Protocol::Tcp
        },
        port: 80 + index as u16,
        node_port: None,
    };
    Definition {
        ports: PORTS.iter().take(count).enumerate().map(port).collect(),
        cluster_ips: ips,
        external_ips: match random.one_in(4) {
            true => vec![ip(format!("10.96.0.{}", random.below(4)))],
            false => Vec::new(),
        },
        sharing: Sharing {
            global: !random.one_in(4),
            shared: true,
            affinity: *random.pick(&[Affinity::None, Affinity::Local, Affinity::Remote]),
        },
        ..Definition::default()
    }
}

fn random_bit(index: usize, count: usize) -> bool {
    index == 1 && count == 2
}

fn random_offer(random: &mut Random, source: Source, service: &str) -> Offer {
    let cluster = Oracle::cluster(source);
    let mut endpoints = BTreeMap::new();
    for _ in 0..random.below(5) {
        // Sometimes an address of another cluster's.
        let net = if random.one_in(8) {
            1 + random.below(3)
        } else {
            u64::from(cluster.0)
        };
        let address = match random.one_in(3) {
            true => ip(format!("fd00:{net}::{}", random.below(4))),
            false => ip(format!("10.{net}.0.{}", random.below(4))),
        };
        let ports: BTreeSet<OfferedPort> = (0..1 + random.below(2))
            .map(|_| {
                let index = random.below(2) as usize;
                OfferedPort {
                    name: PORTS[index].into(),
                    protocol: if index == 1 {
                        Protocol::Udp
                    } else {
                        Protocol::Tcp
                    },
                    port: 8080 + index as u16,
                }
            })
            .collect();
        let offered = Offered {
            state: *random.pick(&STATES),
            node: None,
            ports: ports.into_iter().collect(),
        };
        endpoints.insert(address, offered);
    }
    Offer {
        service: name(service),
        cluster: format!("c{}", cluster.0).into(),
        weight: *random.pick(&[100, 100, 50, 0]),
        endpoints,
        problems: Vec::new(),
    }
}

fn random_step(random: &mut Random, bench: &mut Bench, oracle: &mut Oracle) {
    let service = *random.pick(&SERVICES);
    let source = *random.pick(&SOURCES);
    match random.below(8) {
        0 | 1 => {
            let definition = random_definition(random);
            oracle.definitions.insert(name(service), definition.clone());
            bench.define(service, definition);
        }
        2 => {
            oracle.definitions.remove(&name(service));
            bench.tell(Fact::Service(Event::Delete(name(service))));
        }
        3 | 4 => {
            let slice = format!("slice-{}", random.below(3));
            let offer = random_offer(random, source, service);
            oracle
                .offers
                .insert((source, true, name(&slice)), offer.clone());
            bench.offer(source, &slice, offer);
        }
        5 => {
            let slice = name(&format!("slice-{}", random.below(3)));
            oracle.offers.remove(&(source, true, slice.clone()));
            bench.tell(Fact::Slice(source, Event::Delete(slice)));
        }
        6 if source != OWN => {
            let offer = random_offer(random, source, service);
            oracle
                .offers
                .insert((source, false, name(service)), offer.clone());
            bench.share(source, offer);
        }
        _ if source != OWN => {
            // Starts over with nothing, in one of its formats.
            let is_slice = random.one_in(2);
            oracle
                .offers
                .retain(|(other, slice, _), _| *other != source || *slice != is_slice);
            for event in [Event::Restart, Event::Synced] {
                bench.tell(match is_slice {
                    true => Fact::Slice(source, event),
                    false => Fact::Shared(source, event),
                });
            }
        }
        _ => {}
    }
}

#[test]
fn rows_are_those_of_the_oracle_after_every_fact() {
    for seed in 0..25 {
        let mut random = Random::new(seed);
        let (mut bench, mut oracle) = (Bench::ready(), Oracle::default());
        for step in 0..120 {
            random_step(&mut random, &mut bench, &mut oracle);
            let rows = oracle.rows();
            assert_eq!(
                bench.kernel.tables.backends, rows,
                "seed {seed}, step {step}"
            );
            let desired = bench.world.desired();
            assert_eq!(
                desired.backends, rows,
                "seed {seed}, step {step}: what is said to be wanted"
            );
            assert_eq!(
                desired.frontends, bench.kernel.tables.frontends,
                "seed {seed}, step {step}"
            );
        }
    }
}
