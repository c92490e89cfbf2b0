//! What the kernel should hold of services, row by row.

use super::{Services, owner};
use crate::{
    name,
    service::{
        Backend, Barred, Frontend, FrontendPath, Kind, claims::rows, pool::Pool, sources::barred,
    },
    tables::Tables,
};

/// One row of the kernel's tables of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    Frontend(Frontend),
    Backend(Frontend, Backend),
    /// The table of a pool.
    Maglev(Frontend),
}

impl Services {
    pub(crate) fn frontend(&self, frontend: &Frontend) -> Option<FrontendPath> {
        let (_, name) = self.owners.get(frontend)?.first()?;
        let service = self.services.get(name)?;
        let (kind, _, port) = service
            .definition
            .value
            .frontends(&self.here.addresses)
            .find(|(_, other, _)| other == frontend)?;
        // The pool of the address's own family, as far as the service has a name for one.
        let mut pools = service.pools.iter().filter(|pool| {
            pool.is_of(&port.name, port.protocol, frontend.ip)
                // Where another service has the name, the pool is that one's.
                && owner(&self.owners, &pool.name) == Some(name)
        });
        let pool = pools.clone().find(|pool| !pool.outside)?.name;
        let definition = &service.definition.value;
        let sources = definition.sources_at(kind, frontend.ip);
        // A ClusterIP is for the cluster.
        let outside = match kind {
            Kind::ClusterIp => None,
            Kind::LoadBalancer if sources.is_some_and(|ranges| ranges.is_empty()) => None,
            _ if definition.outside_node_only != definition.node_only => {
                pools.find(|pool| pool.outside).map(|pool| pool.name)
            }
            _ => Some(pool),
        };
        Some(FrontendPath {
            pool,
            affinity_s: definition.affinity_s,
            outside,
            sources: sources.filter(|_| outside.is_some()).cloned(),
            barred: sources.map_or(Barred::default(), |ranges| {
                barred(ranges, &self.here, frontend.ip.is_ipv4())
            }),
            agent_answers: frontend.port == name::PORT && self.asks_names(name),
        })
    }

    /// By its name, where that is its service's.
    pub(crate) fn pool(&self, name: &Frontend) -> Option<&Pool> {
        let service = self.services.get(owner(&self.owners, name)?)?;
        service.pools.iter().find(|pool| pool.name == *name)
    }

    /// The rows of all that the kernel should hold, and some more.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        let pools = self.services.values().flat_map(|service| &service.pools);
        let frontends = self.owners.keys().copied().map(Row::Frontend);
        frontends.chain(pools.flat_map(rows))
    }

    /// All that the kernel should hold.
    pub(crate) fn fill(&self, tables: &mut Tables) {
        for frontend in self.owners.keys() {
            tables
                .frontends
                .extend(self.frontend(frontend).map(|path| (*frontend, path)));
        }
        for (name, service) in &self.services {
            for pool in &service.pools {
                if owner(&self.owners, &pool.name) == Some(name) {
                    let rows = pool.verdicts().filter_map(|(backend, verdict)| {
                        Some(((pool.name, *backend), verdict.path?))
                    });
                    tables.backends.extend(rows);
                    let table = self.maglev(&pool.name);
                    tables
                        .maglev
                        .extend(table.map(|table| (pool.name, table.digest())));
                }
            }
        }
    }
}
