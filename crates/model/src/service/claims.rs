//! What an offer claims in the pools of its service, and which rows that touches.

use super::{
    Backend, BackendPath, Offer, Offered, State, WEIGHT_DEFAULT,
    hint::Hint,
    merge::{Format, Here, Row},
    pool::{Changed, Claim, Claimed, Pool, Rank},
};
use crate::{fact::Source, record::Namespaced};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// Where an offer comes from: whose it is, and the slice's name, which a record has none of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    pub(super) source: Source,
    pub(super) slice: Option<Arc<str>>,
}

pub(super) fn origin(source: Source, format: Format, name: &Namespaced) -> Origin {
    Origin {
        source,
        slice: (format == Format::Slice).then(|| name.name.as_str().into()),
    }
}

impl Origin {
    pub(super) fn claim(&self, here: &Here) -> Claim {
        let cluster = match self.source {
            Source::Cluster(id) => id,
            Source::Kubernetes | Source::File => here.cluster,
        };
        let rank = match &self.slice {
            Some(_) if cluster == here.cluster => Rank::Own,
            Some(_) => Rank::Slice,
            None => Rank::Record,
        };
        Claim {
            rank,
            cluster,
            part: self.slice.clone().unwrap_or_else(|| "".into()),
        }
    }
}

/// What an endpoint is in a pool, if it is of it.
fn at(pool: &Pool, ip: IpAddr, offered: &Offered) -> Option<Backend> {
    let mut ports = offered.ports.iter();
    let port = ports.find(|port| pool.is_of(&port.name, port.protocol, ip))?;
    Some(Backend {
        ip,
        port: port.port,
    })
}

pub(super) fn claim(
    pools: &mut [Pool],
    ip: IpAddr,
    offered: &Offered,
    offer: &Offer,
    origin: &Origin,
    here: &Here,
    mut note: impl FnMut(&Pool, Backend, Changed),
) {
    for pool in pools {
        if let Some(backend) = at(pool, ip, offered) {
            let claim = origin.claim(here);
            let claimed = Claimed {
                state: offered.state,
                weight: offer.weight,
                node: offered.node.clone(),
                cluster: offer.cluster.clone(),
                lost: here.silent.lost(claim.cluster, offered.node.as_deref(), ip),
                hint: match claim.rank {
                    Rank::Own => Hint::of(offered.hints.as_deref(), here),
                    _ => Hint::default(),
                },
            };
            let changed = pool.claim(backend, claim, claimed);
            note(pool, backend, changed);
        }
    }
}

/// Takes back what an endpoint was in pools where it is not so any more.
pub(super) fn unclaim(
    pools: &mut [Pool],
    ip: IpAddr,
    offered: &Offered,
    after: Option<&Offered>,
    origin: &Origin,
    here: &Here,
    mut note: impl FnMut(&Pool, Backend, Changed),
) {
    for pool in pools {
        let now = after.and_then(|after| at(pool, ip, after));
        if let Some(backend) = at(pool, ip, offered).filter(|backend| now != Some(*backend)) {
            let changed = pool.unclaim(backend, &origin.claim(here));
            note(pool, backend, changed);
        }
    }
}

pub(super) fn kept(backend: &Backend, path: &BackendPath, here: &Here) -> (Claim, Claimed) {
    let claim = Claim {
        rank: Rank::Kept,
        cluster: path.cluster,
        part: "".into(),
    };
    // Without weight it was on its way out, or waited for its cluster's turn, in which it counts as if it was.
    let (state, weight) = match path.weight {
        0 if path.lost => (State::Active, WEIGHT_DEFAULT),
        0 => (State::Terminating, WEIGHT_DEFAULT),
        weight => (State::Active, weight),
    };
    let claimed = Claimed {
        state,
        weight,
        node: None,
        cluster: match here.names.get(&path.cluster) {
            Some(name) => name.clone(),
            None => format!("cluster {}", path.cluster).into(),
        },
        lost: here.silent.lost(path.cluster, None, backend.ip),
        hint: Hint::default(),
    };
    (claim, claimed)
}

pub(super) fn touch(touched: &mut BTreeSet<Row>, pool: &Pool, backend: Backend, changed: Changed) {
    match changed {
        Changed::Nothing => {}
        Changed::One => {
            touched.insert(Row::Maglev(pool.name));
            touched.insert(Row::Backend(pool.name, backend));
        }
        Changed::All => {
            // It may have gone from the pool.
            touched.insert(Row::Backend(pool.name, backend));
            touch_all(touched, pool);
        }
    }
}

pub(super) fn touch_all(touched: &mut BTreeSet<Row>, pool: &Pool) {
    touched.extend(rows(pool));
}

/// All rows of a pool but those of frontends.
pub(super) fn rows(pool: &Pool) -> impl Iterator<Item = Row> {
    let name = pool.name;
    let backends = pool.backends();
    let backends = backends.map(move |backend| Row::Backend(name, *backend));
    backends.chain([Row::Maglev(name)])
}
