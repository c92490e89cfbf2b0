//! Random facts against a naive oracle that makes all rows anew from all facts, in the words of the specification.

use super::*;
use crate::{health::Silence, random::Random};
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
/// As annotated, and as clusters: whoever is not named comes last.
const ORDERS: [(&str, &[&[u16]]); 3] = [
    ("local", &[&[1]]),
    ("c3, local", &[&[3], &[1]]),
    ("c2+c1, c9", &[&[1, 2], &[]]),
];

#[derive(Default)]
struct Oracle {
    definitions: BTreeMap<Namespaced, Definition>,
    /// By source, whether it is a slice, and its name.
    offers: BTreeMap<(Source, bool, Namespaced), Offer>,
    orders: BTreeMap<Namespaced, &'static [&'static [u16]]>,
    /// What the backends of c2 get.
    percents: BTreeMap<Namespaced, u16>,
    /// Nothing of them answers.
    silent: BTreeSet<ClusterId>,
    zone: Option<&'static str>,
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

    /// Of each pool that anything from outside is led to, in a service that wants it so.
    fn maglev(
        &self,
        rows: &Rows,
        frontends: &BTreeMap<Frontend, FrontendPath>,
    ) -> BTreeMap<Frontend, u64> {
        let open = frontends.values().filter_map(|path| path.outside);
        let wants = |pool: &Frontend| {
            let mut definitions = self.definitions.iter();
            definitions.any(|(name, definition)| {
                definition.algorithm == Some(Algorithm::Maglev) && self.has(*pool, name)
            })
        };
        let digest = |pool: Frontend| {
            let members = rows.iter().filter(|((of, _), _)| *of == pool);
            let members = members.map(|((_, backend), path)| (*backend, path.weight));
            let table = maglev::Table::new(maglev::SIZE_DEFAULT, 0, members)?;
            Some((pool, table.digest()))
        };
        open.filter(wants).filter_map(digest).collect()
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
        let mut best: BTreeMap<Backend, (Speaker, &Offered, u16)> = BTreeMap::new();
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
                            best.insert(backend, (claim, offered, offer.weight));
                        }
                    }
                }
            }
        }
        let own = config().cluster_id;
        let hints: BTreeMap<Backend, Hints> = best
            .iter()
            .map(|(backend, (_, offered, _))| {
                let hints = offered.hints.as_deref().cloned();
                (*backend, hints.unwrap_or_default())
            })
            .collect();
        let mut members: Vec<(Backend, ClusterId, State, u16)> = best
            .into_iter()
            .map(|(backend, ((_, cluster, _), offered, weight))| {
                let state = offered.state;
                let percent = self.percents.get(name).filter(|_| cluster == ClusterId(2));
                let weight = weight * percent.copied().unwrap_or(100) / 100;
                (backend, cluster, state, weight)
            })
            .collect();
        members.retain(|(_, cluster, _, _)| *cluster == own || sharing.global);
        let is_active = |state: State| state == State::Active;
        let is_healthy = |state: State| matches!(state, State::Active | State::Terminating);
        // Where nobody answers who could be used, who answers is no question.
        let answers = |cluster: &ClusterId| !self.silent.contains(cluster);
        let is_blind = !members.iter().any(|(_, cluster, state, weight)| {
            answers(cluster) && *weight > 0 && is_healthy(*state)
        });
        let counts = |cluster: &ClusterId| is_blind || answers(cluster);
        let any = |is_local: bool, is: &dyn Fn(State) -> bool| {
            members.iter().any(|(_, cluster, state, weight)| {
                (*cluster == own) == is_local && *weight > 0 && is(*state) && counts(cluster)
            })
        };
        let (use_local, use_remote) = match sharing.affinity {
            Affinity::None => (true, true),
            Affinity::Local => (true, !any(true, &is_active) && any(false, &is_healthy)),
            Affinity::Remote => (!any(false, &is_healthy) && any(true, &is_healthy), true),
        };
        let order = self.orders.get(name);
        let tier = |cluster: &ClusterId| {
            let order = order.copied().unwrap_or_default();
            let found = order.iter().position(|tier| tier.contains(&cluster.0));
            found.unwrap_or(order.len())
        };
        let first = |is: &dyn Fn(State) -> bool| {
            let able = members
                .iter()
                .filter(|(_, cluster, state, weight)| *weight > 0 && is(*state) && counts(cluster));
            able.map(|(_, cluster, _, _)| tier(cluster)).min()
        };
        let turn = first(&is_active).or_else(|| first(&is_healthy));
        let used = |cluster: ClusterId| {
            if order.is_some() {
                turn.is_none_or(|turn| tier(&cluster) <= turn)
            } else if cluster == own {
                use_local
            } else {
                use_remote
            }
        };
        let is_desperate = !members.iter().any(|(_, cluster, state, weight)| {
            used(*cluster) && *weight > 0 && is_active(*state) && counts(cluster)
        });
        // As kube-proxy has it, of the own cluster's: nodes first, then zones.
        let ready: Vec<&Hints> = members
            .iter()
            .filter(|(_, cluster, state, weight)| {
                *cluster == own && is_active(*state) && *weight > 0
            })
            .map(|(backend, ..)| &hints[backend])
            .collect();
        let node = config().node;
        let has = |names: &[Arc<str>], name: &str| names.iter().any(|it| **it == *name);
        let in_zone = |hints: &Hints| self.zone.is_some_and(|zone| has(&hints.zones, zone));
        let by_node = ready.iter().all(|hints| !hints.nodes.is_empty())
            && ready.iter().any(|hints| has(&hints.nodes, &node));
        let by_zone = ready.iter().all(|hints| !hints.zones.is_empty())
            && ready.iter().any(|hints| in_zone(hints));
        let is_meant = |backend: &Backend, cluster: ClusterId, state: State| {
            let hints = &hints[backend];
            cluster != own
                || !is_active(state)
                || if by_node {
                    has(&hints.nodes, &node)
                } else {
                    !by_zone || in_zone(hints)
                }
        };
        members
            .iter()
            .filter(|(_, _, state, _)| *state != State::NotReady)
            .map(|(backend, cluster, state, weight)| {
                let takes = counts(cluster)
                    && used(*cluster)
                    && is_meant(backend, *cluster, *state)
                    && (is_active(*state) || is_desperate && *state == State::Terminating);
                let weight = if takes { *weight } else { 0 };
                (
                    (pool, *backend),
                    BackendPath {
                        cluster: *cluster,
                        weight,
                        lost: !counts(cluster),
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
        algorithm: random.one_in(2).then_some(Algorithm::Maglev),
        sharing: Sharing {
            global: !random.one_in(4),
            shared: true,
            affinity: *random.pick(&[Affinity::None, Affinity::Local, Affinity::Remote]),
        },
        ..Definition::default()
    }
}

fn grade(random: &mut Random, oracle: &mut Oracle, service: &str, definition: &mut Definition) {
    let mut words = BTreeMap::new();
    oracle.orders.remove(&name(service));
    oracle.percents.remove(&name(service));
    if random.one_in(3) {
        let (order, tiers) = *random.pick(&ORDERS);
        words.insert(
            "service.tombolo.io/cluster-order".to_owned(),
            order.to_owned(),
        );
        oracle.orders.insert(name(service), tiers);
    }
    if random.one_in(3) {
        let percent = *random.pick(&[0, 50, 200]);
        words.insert(
            "service.tombolo.io/cluster-weights".to_owned(),
            format!("c2={percent}"),
        );
        oracle.percents.insert(name(service), percent);
    }
    (definition.grades, _) = Grades::read(&words, &definition.sharing);
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
            hostname: None,
            hints: random_hints(random),
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

fn random_hints(random: &mut Random) -> Option<Arc<Hints>> {
    let mut names = |of: [&'static str; 2]| -> Vec<Arc<str>> {
        match random.below(4) {
            0 => of.map(Arc::from).into(),
            1 => vec![of[0].into()],
            _ => vec![of[1].into()],
        }
    };
    let hints = Hints {
        zones: names(["a", "b"]),
        nodes: names(["n1", "n2"]),
    };
    match random.below(4) {
        0 => None,
        1 => Some(hints.into()),
        _ => Some(
            Hints {
                nodes: Vec::new(),
                ..hints
            }
            .into(),
        ),
    }
}

fn random_step(random: &mut Random, bench: &mut Bench, oracle: &mut Oracle) {
    let service = *random.pick(&SERVICES);
    let source = *random.pick(&SOURCES);
    match random.below(10) {
        9 => {
            oracle.zone = *random.pick(&[Some("a"), Some("b"), None]);
            bench.tell(Fact::Zone(oracle.zone.map(str::to_owned)));
        }
        0 | 1 => {
            let mut definition = random_definition(random);
            if definition.sharing.global {
                grade(random, oracle, service, &mut definition);
            }
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
        6 => {
            oracle.silent = [ClusterId(2), ClusterId(3)].into();
            oracle.silent.retain(|_| random.one_in(2));
            let clusters = oracle.silent.iter().map(|id| (*id, T0)).collect();
            bench.tell(Fact::Silent(Silence {
                clusters,
                ..Silence::default()
            }));
        }
        7 if source != OWN => {
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
            let tables = oracle.maglev(&rows, &desired.frontends);
            assert_eq!(
                (&desired.maglev, &bench.kernel.tables.maglev),
                (&tables, &tables),
                "seed {seed}, step {step}"
            );
            assert_eq!(
                desired.frontends, bench.kernel.tables.frontends,
                "seed {seed}, step {step}"
            );
        }
    }
}
