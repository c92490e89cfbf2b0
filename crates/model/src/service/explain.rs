//! What is said of services to those who ask: from the same verdicts that the kernel's rows are made of.

use super::{
    Algorithm, Backend, Definition, Frontend, Kind, Protocol, full_name, maglev,
    merge::{Here, Service, Services},
    pool::{Pool, Reason, Verdict},
    sources,
};
use crate::{
    fact::Source,
    local::{BackendView, CheckView, FrontendView, ServiceSummary, ServiceView},
    record::Namespaced,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

impl Services {
    pub(crate) fn list(&self) -> Vec<ServiceSummary> {
        self.all()
            .map(|(name, service)| self.summary(name, service))
            .collect()
    }

    pub(crate) fn explain(&self, name: &Namespaced, now: Duration) -> Option<ServiceView> {
        let service = self.get(name)?;
        let definition = &service.definition.value;
        let frontends = definition.frontends(&self.here().addresses);
        let frontends = frontends.map(|(kind, frontend, port)| FrontendView {
            kind: kind.word().into(),
            address: Backend {
                ip: frontend.ip,
                port: frontend.port,
            }
            .to_string(),
            protocol: frontend.protocol.word().into(),
            port: port.name.clone(),
            sources: definition
                .sources_at(kind, frontend.ip)
                .map(|ranges| ranges.to_vec()),
        });
        Some(ServiceView {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            global: definition.sharing.global,
            shared: definition.sharing.is_exported(),
            affinity: definition.sharing.affinity.word().into(),
            grades: definition.grades.to_string(),
            algorithm: match self.open(service).next() {
                Some(_) => self.algorithm(service).word().into(),
                None => String::new(),
            },
            frontends: frontends.collect(),
            health_check: definition.check_port.map(|port| CheckView {
                port,
                endpoints: self.ready_here(name),
            }),
            conditions: self.conditions(name, service),
            backends: service
                .inside()
                .flat_map(|pool| backends(pool, self.here(), now))
                .collect(),
        })
    }

    fn summary(&self, name: &Namespaced, service: &Service) -> ServiceSummary {
        // A backend of two families or ports is one backend: those of the pool that has most stand for all.
        let own = self.here().cluster;
        let counts = service.inside().map(|pool| {
            let (mut known, mut used, mut remote) = (0, 0, 0);
            for (_, verdict) in pool.verdicts() {
                let is_used = weight(&verdict) > 0;
                known += 1;
                used += usize::from(is_used);
                remote += usize::from(is_used && verdict.cluster != own);
            }
            (known, used, remote)
        });
        let (known, used, used_remote) = counts.max().unwrap_or_default();
        let definition = &service.definition.value;
        let ports = definition.ports.iter();
        ServiceSummary {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            addresses: definition.cluster_ips.clone(),
            ports: ports
                .map(|port| format!("{}/{}", port.port, port.protocol.word()))
                .collect(),
            global: definition.sharing.global,
            shared: definition.sharing.is_exported(),
            affinity: definition.sharing.affinity.word().into(),
            backends: known,
            used,
            used_remote,
            conditions: self.conditions(name, service),
        }
    }

    fn conditions(&self, name: &Namespaced, service: &Service) -> Vec<String> {
        let definition = &service.definition.value;
        let mut conditions = definition.problems.clone();
        for (kind, frontend, _) in definition.frontends(&self.here().addresses) {
            conditions.extend(self.taken(name, kind, frontend));
        }
        conditions.extend(self.check_conditions(name, definition));
        if let Some(sources) = &definition.balancer_sources {
            let ips = &definition.balancer_ips;
            conditions.extend(sources::conditions(sources, ips, self.here()));
        }
        let mut offering = BTreeMap::new();
        for (origin, held) in self.offers_of(name) {
            let offer = &held.value;
            let of = |problem: &String| format!("{}: {problem}", offer.cluster);
            conditions.extend(offer.problems.iter().map(of));
            if matches!(origin.source, Source::Cluster(_)) {
                let offered: &mut BTreeSet<(&str, Protocol)> =
                    offering.entry(offer.cluster.as_ref()).or_default();
                let ports = offer
                    .endpoints
                    .values()
                    .flat_map(|offered| offered.ports.iter());
                offered.extend(ports.map(|port| (port.name.as_str(), port.protocol)));
            }
        }
        if !definition.sharing.global && service.told.is_none() && !offering.is_empty() {
            let clusters: Vec<&str> = offering.keys().copied().collect();
            conditions.push(format!(
                "{} is global in {} but not here: annotate it service.cilium.io/global: \"true\" to use their backends",
                full_name(name),
                clusters.join(", ")
            ));
        }
        if definition.sharing.global {
            let offers = offering.iter().filter(|(_, ports)| !ports.is_empty());
            for (cluster, ports) in offers {
                conditions.extend(disagreements(definition, cluster, ports));
            }
        }
        let unheeded = service.inside().filter(|pool| pool.has_no_zone());
        conditions.extend(unheeded.map(|pool| {
            let (name, protocol) = (named(&pool.port), pool.name.protocol.word());
            let why = match &self.here().zone {
                Some(zone) => format!("no ready backend is meant for this node's zone {zone}"),
                None => "this node has no label topology.kubernetes.io/zone".into(),
            };
            format!("port {name}/{protocol}: topology hints are not followed here: {why}")
        }));
        let unweighed = service.inside().filter(|pool| pool.has_no_weight());
        conditions.extend(unweighed.map(|pool| {
            let (name, protocol) = (named(&pool.port), pool.name.protocol.word());
            format!(
                "port {name}/{protocol}: every backend that is ready has the weight 0, so whoever calls it is refused; \
                 give one of them another weight"
            )
        }));
        if self.algorithm(service) == Algorithm::Maglev {
            conditions.extend(self.open(service).filter_map(|pool| self.crowded(pool)));
        }
        conditions.sort();
        conditions.dedup();
        conditions
    }

    /// More backends than their table has room for.
    fn crowded(&self, pool: &Pool) -> Option<String> {
        let size = self.here().balancing.table_size;
        let verdicts = pool.verdicts();
        let count = verdicts.filter(|(_, verdict)| weight(verdict) > 0).count();
        let needed = count * maglev::ENTRIES_EACH;
        if needed <= size as usize {
            return None;
        }
        let larger = maglev::SIZES.iter().find(|size| needed <= **size as usize);
        let advice = match larger {
            Some(larger) => format!("set maglev.tableSize to {larger}"),
            None => "use random, or fewer backends".into(),
        };
        let (name, protocol) = (named(&pool.port), pool.name.protocol.word());
        Some(format!(
            "port {name}/{protocol}: {count} backends in a table of {size} entries: their shares of what comes from outside \
             are off by more than 1 %; {advice}"
        ))
    }

    fn taken(&self, name: &Namespaced, kind: Kind, frontend: Frontend) -> Option<String> {
        let owner = self.owner_of(&frontend).filter(|owner| *owner != name)?;
        let (kind, owner) = (kind.word(), full_name(owner));
        Some(format!(
            "{kind} {frontend} is {owner}'s already: it leads there, not here"
        ))
    }
}

/// Ports that one side has and the other has not, by name and protocol.
fn disagreements(
    definition: &Definition,
    cluster: &str,
    offered: &BTreeSet<(&str, Protocol)>,
) -> Vec<String> {
    let here: BTreeSet<(&str, Protocol)> = definition
        .ports
        .iter()
        .map(|port| (port.name.as_str(), port.protocol))
        .collect();
    let say = |(name, protocol): &(&str, Protocol), what: &str| {
        let (name, protocol) = (named(name), protocol.word());
        format!("port {name}/{protocol} {what}: clusters must agree on the names of ports")
    };
    let lacking = here.difference(offered).map(|port| {
        say(
            port,
            &format!("is not offered by {cluster}, whose backends get nothing of it"),
        )
    });
    let extra = offered.difference(&here).map(|port| {
        say(
            port,
            &format!("of {cluster} is not a port of the service here"),
        )
    });
    lacking.chain(extra).collect()
}

fn named(port: &str) -> &str {
    if port.is_empty() { "(no name)" } else { port }
}

fn backends(pool: &Pool, here: &Here, now: Duration) -> Vec<BackendView> {
    let total: u64 = pool
        .verdicts()
        .map(|(_, verdict)| u64::from(weight(&verdict)))
        .sum();
    let view = |(backend, verdict): (&Backend, Verdict<'_>)| {
        let weight = weight(&verdict);
        let silence = silence(backend, &verdict, here, now);
        let is_used = matches!(verdict.reason, Reason::Used | Reason::LastResort);
        BackendView {
            cluster: verdict.claimed.cluster.to_string(),
            remote: verdict.cluster != here.cluster,
            node: verdict.claimed.node.as_deref().map(str::to_owned),
            address: backend.to_string(),
            port: pool.port.clone(),
            protocol: pool.name.protocol.word().into(),
            state: verdict.claimed.state.word().into(),
            weight,
            share: if weight == 0 {
                0.0
            } else {
                f64::from(weight) / total as f64
            },
            silent_seconds: silence.as_ref().map(|(_, time)| time.as_secs_f64()),
            reason: match silence {
                Some((who, time)) => {
                    let said = format!("{who} has not answered for {:.1} s", time.as_secs_f64());
                    match verdict.reason {
                        Reason::Blind(_) => format!("{said}, but no other backend is left"),
                        _ => said,
                    }
                }
                None if is_used && here.silent.is_mute(verdict.cluster, backend.ip) => {
                    let (reason, cluster) = (verdict.reason, &verdict.claimed.cluster);
                    format!("{reason}; it does not answer echoes, but the news of {cluster} decide")
                }
                None => verdict.reason.to_string(),
            },
        }
    };
    pool.verdicts().map(view).collect()
}

/// Who is silent, where that is why, and for how long.
fn silence(
    backend: &Backend,
    verdict: &Verdict<'_>,
    here: &Here,
    now: Duration,
) -> Option<(String, Duration)> {
    let (Reason::Lost(lost) | Reason::Blind(lost)) = verdict.reason else {
        return None;
    };
    let node = verdict.claimed.node.as_deref();
    let cluster = (verdict.cluster, verdict.claimed.cluster.as_ref());
    let (who, since) = here.silent.tell(lost, cluster, node, backend.ip)?;
    Some((who, now.saturating_sub(since)))
}

fn weight(verdict: &Verdict<'_>) -> u16 {
    verdict.path.map_or(0, |path| path.weight)
}
