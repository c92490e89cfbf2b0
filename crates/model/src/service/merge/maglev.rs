//! Which pools are led by tables, and what these are made of.

use super::{Pool, Service, Services, owner};
use crate::service::{Algorithm, Frontend, maglev::Table};

impl Services {
    /// The pool's table, if what comes from outside is led by one.
    pub(crate) fn maglev(&self, pool: &Frontend) -> Option<Table> {
        let service = self.services.get(owner(&self.owners, pool)?)?;
        if self.algorithm(service) != Algorithm::Maglev {
            return None;
        }
        let mut open = self.open(service);
        let pool = open.find(|open| open.name == *pool)?;
        let members = pool
            .verdicts()
            .filter_map(|(backend, verdict)| Some((*backend, verdict.path?.weight)));
        let balancing = &self.here.balancing;
        Table::new(balancing.table_size, balancing.seed, members)
    }

    pub(in crate::service) fn algorithm(&self, service: &Service) -> Algorithm {
        let own = service.definition.value.algorithm;
        own.unwrap_or(self.here.balancing.algorithm)
    }

    /// The pools of a service that something from outside is led to.
    pub(in crate::service) fn open<'a>(
        &'a self,
        service: &'a Service,
    ) -> impl Iterator<Item = &'a Pool> {
        let frontends = service.definition.value.frontends(&self.here.addresses);
        let open: Vec<Frontend> = frontends
            .filter_map(|(_, frontend, _)| self.frontend(&frontend)?.outside)
            .collect();
        let pools = service.pools.iter();
        pools.filter(move |pool| open.contains(&pool.name))
    }
}
