//! What is said of services to those who ask: from the same verdicts that the kernel's rows are made of.

use super::{
    Backend, Definition, Frontend, Kind, Protocol, full_name,
    merge::{Service, Services},
    pool::{Pool, Verdict},
};
use crate::{
    fact::Source,
    local::{BackendView, FrontendView, ServiceSummary, ServiceView},
    record::Namespaced,
};
use std::collections::{BTreeMap, BTreeSet};

impl Services {
    pub(crate) fn list(&self) -> Vec<ServiceSummary> {
        self.all()
            .map(|(name, service)| self.summary(name, service))
            .collect()
    }

    pub(crate) fn explain(&self, name: &Namespaced) -> Option<ServiceView> {
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
        });
        Some(ServiceView {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            global: definition.sharing.global,
            shared: definition.sharing.is_exported(),
            affinity: definition.sharing.affinity.word().into(),
            frontends: frontends.collect(),
            conditions: self.conditions(name, service),
            backends: service
                .pools
                .iter()
                .flat_map(|pool| backends(pool, self.here().cluster))
                .collect(),
        })
    }

    fn summary(&self, name: &Namespaced, service: &Service) -> ServiceSummary {
        // A backend of two families or ports is one backend: those of the pool that has most stand for all.
        let own = self.here().cluster;
        let counts = service.pools.iter().map(|pool| {
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
        if !definition.sharing.global && !offering.is_empty() {
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
        conditions.sort();
        conditions.dedup();
        conditions
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
        let (name, protocol) = (
            if name.is_empty() { "(no name)" } else { name },
            protocol.word(),
        );
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

fn backends(pool: &Pool, own: crate::id::ClusterId) -> Vec<BackendView> {
    let total: u64 = pool
        .verdicts()
        .map(|(_, verdict)| u64::from(weight(&verdict)))
        .sum();
    let view = |(backend, verdict): (&Backend, Verdict<'_>)| {
        let weight = weight(&verdict);
        BackendView {
            cluster: verdict.claimed.cluster.to_string(),
            remote: verdict.cluster != own,
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
            reason: verdict.reason.to_string(),
        }
    };
    pool.verdicts().map(view).collect()
}

fn weight(verdict: &Verdict<'_>) -> u16 {
    verdict.path.map_or(0, |path| path.weight)
}
