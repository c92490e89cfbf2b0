//! What the kernel should hold, worked out row by row from what is known.
//!
//! Of an address the first who knows it is believed: the node itself, its pods, the nodes of the mesh, the sources'
//! claims. Then come what nodes have among their pods, the ranges of pods, and at last the world.

use crate::{
    change::{EndpointPath, NodePath, Place, PolicyEntry, Reach},
    config::{Config, is_host_address},
    endpoint::Endpoints,
    fact::Source,
    id::{EndpointId, Identity, NodeSlot},
    ipcache::{Claim, Ipcache},
    ledger::Wanted,
    node::{Nodes, Seat},
    refusal::Refusal,
    service::{Backend, BackendPath, Frontend, FrontendPath, Pool, Services, maglev},
    tables::Tables,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

pub(super) struct View<'a> {
    pub(super) config: &'a Config,
    pub(super) nodes: &'a Nodes,
    pub(super) ipcache: &'a Ipcache,
    pub(super) endpoints: &'a Endpoints,
    pub(super) services: &'a Services,
    /// The pool that was asked of last: backends are mostly asked of pool by pool.
    pub(super) pool: RefCell<Option<(Frontend, Option<&'a Pool>)>>,
}

/// By whose word an address is what it is.
pub(super) enum Origin {
    Own,
    Endpoint,
    Node(Source),
    Claim(Source),
    Range,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Own => f.write_str("own"),
            Origin::Endpoint => f.write_str("endpoint"),
            Origin::Node(source) => write!(f, "node of {source}"),
            Origin::Claim(source) => source.fmt(f),
            Origin::Range => f.write_str("pod range"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// Nobody is known to have the address. An unknown sender's packets are matched by rules for anyone alone.
pub(super) const NOWHERE: Reach = Reach {
    identity: Identity::UNKNOWN,
    place: Place::Nowhere,
};

impl View<'_> {
    /// What a node holds without knowing any other.
    pub(super) fn own_prefixes(&self) -> BTreeSet<IpNet> {
        let hosts = self
            .config
            .addresses
            .iter()
            .copied()
            .chain(self.config.router().iter())
            .map(IpNet::from);
        let ranges = self.config.pod_ranges.iter().map(IpNet::trunc);
        hosts.chain(ranges).chain(world_prefixes()).collect()
    }

    pub(super) fn tables(&self) -> Tables {
        let mut tables = Tables::default();
        let mut prefixes = self.own_prefixes();
        prefixes.extend(self.endpoints.addresses().copied().map(IpNet::from));
        prefixes.extend(self.ipcache.prefixes());
        tables
            .routes
            .extend(self.config.pod_ranges.iter().map(IpNet::trunc));
        for (_, believed) in self.nodes.believed() {
            prefixes.extend(believed.node.addresses.iter().copied().map(IpNet::from));
            prefixes.extend(&believed.node.pod_ranges);
            prefixes.extend(believed.routers().map(IpNet::from));
            tables.routes.extend(&believed.node.pod_ranges);
            tables.nodes.extend(believed.path.clone());
        }
        tables.addresses = prefixes
            .into_iter()
            .filter_map(|prefix| Some((prefix, self.address(&prefix)?)))
            .collect();
        self.services.fill(&mut tables);
        for id in self.endpoints.ids() {
            tables
                .endpoints
                .extend(self.endpoint(id).map(|path| (id, path)));
            tables
                .policies
                .extend(self.policy(id).map(|entries| (id, entries)));
        }
        tables
    }

    /// Who and where, and by whose word.
    pub(super) fn attributed(&self, prefix: &IpNet) -> Option<(Reach, Origin)> {
        if let Some(found) = host_of(prefix).and_then(|address| self.host(address)) {
            return Some(found);
        }
        for claim in self.ipcache.claims(prefix) {
            if let Ok(Some(reach)) = judge(self.config, self.nodes, prefix, &claim) {
                return Some((reach, Origin::Claim(claim.source)));
            }
        }
        if let Some(found) =
            host_of(prefix).and_then(|address| remote(self.nodes.at_router(address)?))
        {
            return Some(found);
        }
        if self.nodes.has_range(prefix)
            || self
                .config
                .pod_ranges
                .iter()
                .any(|range| range.trunc() == *prefix)
        {
            return Some((NOWHERE, Origin::Range));
        }
        let world = Reach {
            identity: Identity::WORLD,
            place: Place::World,
        };
        world_prefixes()
            .contains(prefix)
            .then_some((world, Origin::Default))
    }

    fn host(&self, address: IpAddr) -> Option<(Reach, Origin)> {
        if self.config.addresses.contains(&address)
            || self.config.router().iter().any(|router| router == address)
        {
            return Some((
                Reach {
                    identity: Identity::HOST,
                    place: Place::Host,
                },
                Origin::Own,
            ));
        }
        if let Some(record) = self.endpoints.at(address) {
            return Some((
                Reach {
                    identity: record.identity,
                    place: Place::Local(record.id),
                },
                Origin::Endpoint,
            ));
        }
        remote(self.nodes.at(address)?)
    }
}

fn remote(seat: Seat) -> Option<(Reach, Origin)> {
    let reach = Reach {
        identity: Identity::REMOTE_NODE,
        place: Place::Remote(seat.slot?),
    };
    Some((reach, Origin::Node(seat.source)))
}

impl Wanted for View<'_> {
    fn node(&self, slot: NodeSlot) -> Option<NodePath> {
        self.nodes.path(slot).cloned()
    }

    fn address(&self, prefix: &IpNet) -> Option<Reach> {
        self.attributed(prefix).map(|(reach, _)| reach)
    }

    fn endpoint(&self, id: EndpointId) -> Option<EndpointPath> {
        self.endpoints.path(id)
    }

    fn policy(&self, id: EndpointId) -> Option<Vec<PolicyEntry>> {
        self.endpoints.policy(id)
    }

    fn frontend(&self, frontend: &Frontend) -> Option<FrontendPath> {
        self.services.frontend(frontend)
    }

    fn backend(&self, pool: &Frontend, backend: &Backend) -> Option<BackendPath> {
        let mut last = self.pool.borrow_mut();
        let found = match *last {
            Some((name, found)) if name == *pool => found,
            _ => last.insert((*pool, self.services.pool(pool))).1,
        };
        found?.path(backend)
    }

    fn maglev(&self, pool: &Frontend) -> Option<maglev::Table> {
        self.services.maglev(pool)
    }

    fn route(&self, prefix: &IpNet) -> bool {
        self.nodes.has_range(prefix)
            || self
                .config
                .pod_ranges
                .iter()
                .any(|range| range.trunc() == *prefix)
    }
}

/// What a claim is worth; nothing when it tells of a pod of this node, which knows better.
pub(super) fn judge(
    config: &Config,
    nodes: &Nodes,
    prefix: &IpNet,
    claim: &Claim,
) -> Result<Option<Reach>, Refusal> {
    let identity = claim.address.identity;
    if config.addresses.contains(&claim.address.host) {
        return Ok(None);
    }
    if prefix.prefix_len() == 0 || !is_host_address(prefix.network()) {
        return Err(Refusal::AddressUnusable);
    }
    let overlaps =
        |range: &IpNet| range.contains(&prefix.network()) || prefix.contains(&range.network());
    if config.pod_ranges.iter().any(overlaps) {
        return Err(Refusal::AddressInPodRange);
    }
    if config.addresses.iter().any(|own| prefix.contains(own))
        || host_of(prefix).is_some_and(|address| nodes.at(address).is_some())
    {
        return Err(Refusal::AddressTaken);
    }
    let reserved = [
        Identity::UNKNOWN,
        Identity::HOST,
        Identity::WORLD,
        Identity::REMOTE_NODE,
        Identity::WORLD_IPV4,
        Identity::WORLD_IPV6,
    ];
    if identity.0 >= 1 << 24 || reserved.contains(&identity) {
        return Err(Refusal::IdentityInvalid);
    }
    let Some(seat) = nodes.at(claim.address.host) else {
        return Ok(Some(NOWHERE));
    };
    if !identity.is_reserved() && identity.cluster(config.identity_shift()) != seat.cluster {
        return Err(Refusal::IdentityOfOtherCluster);
    }
    Ok(Some(match seat.slot {
        Some(slot) => Reach {
            identity,
            place: Place::Remote(slot),
        },
        None => NOWHERE,
    }))
}

fn host_of(prefix: &IpNet) -> Option<IpAddr> {
    (prefix.prefix_len() == prefix.max_prefix_len()).then(|| prefix.addr())
}

fn world_prefixes() -> [IpNet; 2] {
    [
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
    ]
}
