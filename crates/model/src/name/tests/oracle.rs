//! All names of random clusters, written out as a zone, against what is answered.

use super::*;
use crate::random::Random;

const SERVICES: [&str; 3] = ["web", "db", "far"];
const SOURCES: [Source; 3] = [OWN, SECOND, THIRD];
const HOSTS: [&str; 3] = ["", "h-0", "h-1"];
const STATES: [State; 3] = [State::Active, State::Active, State::NotReady];

/// An address, the host name of who is there, and how that one is.
type Told = (String, &'static str, State);

/// What is known, as it was told.
#[derive(Default)]
struct Facts {
    definitions: BTreeMap<&'static str, Definition>,
    offers: BTreeMap<(&'static str, Source), Vec<Told>>,
}

/// Each name and all that it has, of services that are not elsewhere.
type Zone = BTreeMap<String, BTreeSet<String>>;

/// Something that is ready.
struct Ready {
    is_own: bool,
    ip: IpAddr,
    host: String,
    cluster: usize,
}

impl Facts {
    fn ready(&self, service: &str) -> Vec<Ready> {
        let mut ready = Vec::new();
        for ((of, source), endpoints) in &self.offers {
            for (address, host, state) in endpoints {
                if *of == service && *state == State::Active {
                    ready.push(Ready {
                        is_own: *source == OWN,
                        ip: ip(address),
                        host: match *host {
                            "" => address.replace(['.', ':'], "-"),
                            host => host.to_owned(),
                        },
                        cluster: number(*source),
                    });
                }
            }
        }
        ready
    }

    fn naming(&self, service: &str) -> Option<Naming> {
        Some(self.definitions.get(service)?.naming)
    }

    fn is_global(&self, service: &str) -> bool {
        let definition = self.definitions.get(service);
        definition.is_some_and(|it| it.sharing.global)
    }

    fn zone(&self) -> Zone {
        let mut zone = Zone::new();
        for service in SERVICES {
            if self.naming(service) != Some(Naming::Elsewhere) {
                self.add_addresses(service, &mut zone);
                self.add_endpoints(service, &mut zone);
            }
        }
        zone
    }

    fn add_addresses(&self, service: &str, zone: &mut Zone) {
        let Some(it) = self.definitions.get(service) else {
            return;
        };
        let [here, set] = full(service);
        let set = self.is_global(service).then_some(set);
        for name in [Some(here), set].into_iter().flatten() {
            if it.naming == Naming::Addresses {
                for ip in &it.cluster_ips {
                    add(zone, &name, &name, *ip, &[80, 81]);
                    add(zone, &format!("_http._tcp.{name}"), &name, *ip, &[80]);
                }
            }
        }
    }

    fn add_endpoints(&self, service: &str, zone: &mut Zone) {
        let [here, set] = full(service);
        let is_defined = self.definitions.contains_key(service);
        let (naming, is_global) = (self.naming(service), self.is_global(service));
        let has_ips = naming == Some(Naming::Addresses);
        let ready = self.ready(service);
        for it in &ready {
            let Ready {
                is_own, ip, host, ..
            } = it;
            let is_shadowed = !is_own && ready.iter().any(|own| own.is_own && own.host == *host);
            let exact = format!("{host}.c{}.{set}", it.cluster);
            if (*is_own && is_defined) || (!is_own && (!is_defined || is_global)) {
                let own = format!("{host}.{here}");
                let target = if *is_own { &own } else { &exact };
                if !(is_shadowed && is_defined) {
                    add(zone, &own, target, *ip, &[8080, 9090]);
                }
                if !has_ips {
                    add(zone, &here, target, *ip, &[8080, 9090]);
                    add(zone, &format!("_http._tcp.{here}"), target, *ip, &[8080]);
                }
            }
            if !is_own || is_global {
                add(zone, &exact, &exact, *ip, &[8080, 9090]);
                if !(is_shadowed && is_global) {
                    add(zone, &format!("{host}.{set}"), &exact, *ip, &[8080, 9090]);
                }
                if !(is_global && has_ips) {
                    add(zone, &set, &exact, *ip, &[8080, 9090]);
                    add(zone, &format!("_http._tcp.{set}"), &exact, *ip, &[8080]);
                }
            }
        }
    }
}

fn number(source: Source) -> usize {
    let known = SOURCES.iter().position(|it| *it == source);
    known.expect("a source") + 1
}

fn full(service: &str) -> [String; 2] {
    ["cluster.local", SET_DOMAIN].map(|domain| format!("{service}.shop.svc.{domain}"))
}

fn add(zone: &mut Zone, name: &str, target: &str, ip: IpAddr, ports: &[u16]) {
    let kind = if ip.is_ipv4() { "A" } else { "AAAA" };
    let records = zone.entry(name.to_owned()).or_default();
    records.insert(format!("{kind} {ip}"));
    for port in ports {
        records.insert(format!("SRV {port} {target}"));
    }
}

/// What is answered, in the words of the zone.
fn heard(bench: &Bench, kind: &str, name: &str) -> Option<BTreeSet<String>> {
    match bench.0.name(&read(&format!("{kind} {name}"))) {
        Answer::Forward => Some(["forward".to_owned()].into()),
        Answer::NoName { .. } => None,
        Answer::NoData { .. } => Some(BTreeSet::new()),
        Answer::Records { answers, .. } => {
            let say = |record| match record {
                Record::Address(ip) => format!("{kind} {ip}"),
                Record::Server { port, target } => format!("{kind} {port} {target}"),
                Record::Name(name) => name,
            };
            Some(answers.into_iter().map(say).collect())
        }
    }
}

fn expected(facts: &Facts, zone: &Zone, kind: &str, name: &str) -> Option<BTreeSet<String>> {
    let before = name.split(".shop.").next().unwrap_or_default();
    let service = before.rsplit('.').next().unwrap_or_default();
    if facts.naming(service) == Some(Naming::Elsewhere) {
        return Some(["forward".to_owned()].into());
    }
    let kind = format!("{kind} ");
    let records = zone.get(name)?.iter();
    Some(
        records
            .filter(|it| it.starts_with(&kind))
            .cloned()
            .collect(),
    )
}

fn step(random: &mut Random, bench: &mut Bench, facts: &mut Facts) {
    let service = *random.pick(&SERVICES);
    if random.one_in(3) {
        let global = !random.one_in(3);
        let definition = match random.below(6) {
            0 => {
                facts.definitions.remove(service);
                let name = namespaced(service, "shop");
                return bench.tell(Fact::Service(Event::Delete(name)));
            }
            1 => named(Naming::Elsewhere, global),
            2 | 3 => named(Naming::Endpoints, global),
            _ => addressed(global),
        };
        facts.definitions.insert(service, definition.clone());
        return bench.define(service, definition);
    }
    let source = *random.pick(&SOURCES);
    let mut endpoints = BTreeMap::new();
    for _ in 0..random.below(4) {
        let last = 1 + random.below(5);
        let address = match random.one_in(3) {
            true => format!("fd00:{}::{last}", number(source)),
            false => format!("10.{}.0.{last}", number(source)),
        };
        endpoints.insert(address, (*random.pick(&HOSTS), *random.pick(&STATES)));
    }
    let given = endpoints.iter();
    let given = given.map(|(address, (host, state))| (address.as_str(), *host, *state));
    bench.offer(source, service, &given.collect::<Vec<Given>>());
    let endpoints = endpoints.into_iter();
    let endpoints = endpoints.map(|(address, (host, state))| (address, host, state));
    facts.offers.insert((service, source), endpoints.collect());
}

#[test]
fn answers_are_those_of_a_zone_that_is_written_out() {
    let mut told = 0;
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let (mut bench, mut facts) = (Bench::new(), Facts::default());
        bench.sync();
        // Names that were there once are asked for ever after.
        let mut names: BTreeSet<String> = ["h-0.web.shop.svc.cluster.local".into()].into();
        for _ in 0..25 {
            step(&mut random, &mut bench, &mut facts);
            let zone = facts.zone();
            names.extend(zone.keys().cloned());
            for name in &names {
                for kind in ["A", "AAAA", "SRV"] {
                    let expected = expected(&facts, &zone, kind, name);
                    told += expected.as_ref().map_or(0, BTreeSet::len);
                    let heard = heard(&bench, kind, name);
                    assert_eq!(heard, expected, "seed {seed}: {kind} {name}");
                }
            }
        }
    }
    assert!(told > 20_000, "{told} records were compared");
}
