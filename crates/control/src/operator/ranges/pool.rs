//! Which node has which range of the cluster's pools. No input, output or clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Ranges of a family that nodes' ranges are cut from, all of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    pools: Vec<IpNet>,
    /// Prefix length of a node's range.
    mask: u8,
}

/// A pool that can't be: what it is, and whom it would take addresses from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    #[error("{option} {pool}: its addresses are {found}, and {wanted} are wanted there")]
    OtherFamily {
        option: &'static str,
        pool: IpNet,
        found: &'static str,
        wanted: &'static str,
    },
    #[error(
        "{option}-mask-size {mask}: a node's range must lie within the pool {pool} and have 4 addresses at least; use {least} to {most}"
    )]
    Mask {
        option: &'static str,
        mask: u8,
        pool: IpNet,
        least: u8,
        most: u8,
    },
    #[error("the pools {one} and {other} overlap: give each address once")]
    Twice { one: IpNet, other: IpNet },
    #[error("no pool for the ranges of nodes: give --cluster-pool-ipv4 or --cluster-pool-ipv6")]
    None,
}

impl Family {
    pub fn new(
        option: &'static str,
        pools: &[IpNet],
        mask: u8,
        is_v6: bool,
    ) -> Result<Option<Family>, PoolError> {
        let word = |is_v6| if is_v6 { "IPv6" } else { "IPv4" };
        let pools: Vec<IpNet> = pools.iter().map(IpNet::trunc).collect();
        for (index, pool) in pools.iter().enumerate() {
            let found = pool.addr().is_ipv6();
            if found != is_v6 {
                return Err(PoolError::OtherFamily {
                    option,
                    pool: *pool,
                    found: word(found),
                    wanted: word(is_v6),
                });
            }
            // Beyond 2^24 ranges there are no nodes to give them to.
            let least = pool.prefix_len().max(8);
            let most = (pool.max_prefix_len() - 2).min(pool.prefix_len() + 24);
            if mask < least || mask > most {
                return Err(PoolError::Mask {
                    option,
                    mask,
                    pool: *pool,
                    least,
                    most,
                });
            }
            if let Some(other) = pools[..index].iter().find(|other| overlap(other, pool)) {
                return Err(PoolError::Twice {
                    one: *other,
                    other: *pool,
                });
            }
        }
        Ok((!pools.is_empty()).then_some(Family { pools, mask }))
    }

    pub fn pools(&self) -> &[IpNet] {
        &self.pools
    }

    fn is_v6(&self) -> bool {
        self.pools[0].addr().is_ipv6()
    }

    /// The first range that is nobody's. `next` is where the search begins, so that a range that was given back rests.
    fn free(&self, taken: &BTreeSet<(IpAddr, u8)>, next: &mut u32) -> Option<IpNet> {
        let counts: Vec<u32> = self
            .pools
            .iter()
            .map(|pool| 1 << (self.mask - pool.prefix_len()))
            .collect();
        let total: u32 = counts.iter().sum();
        for step in 0..total {
            let mut index = (*next + step) % total;
            let at = index;
            let mut pools = self.pools.iter().zip(&counts);
            let pool = pools.find_map(|(pool, count)| {
                let here = index < *count;
                if !here {
                    index -= count;
                }
                here.then_some(pool)
            });
            let range = subnet(pool.expect("an index within the pools"), self.mask, index);
            if !overlaps_any(taken, &range) {
                *next = (at + 1) % total;
                return Some(range);
            }
        }
        None
    }
}

/// What nodes have and what others have, and whose turn it is.
#[derive(Debug)]
pub struct Ranges {
    families: Vec<Family>,
    next: Vec<u32>,
    /// Of every node, also of what it was given by others than us.
    nodes: BTreeMap<String, Vec<IpNet>>,
    others: BTreeMap<Other, Vec<IpNet>>,
}

/// Who has addresses beside this cluster's pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Other {
    Services,
    Cluster(String),
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Other::Services => f.write_str("this cluster's services"),
            Other::Cluster(name) => write!(f, "the pods of the cluster {name}"),
        }
    }
}

/// Why a node gets no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "the pool {pool} of this cluster's pods overlaps with {range}, which is of {other}: give this cluster another pool, or them another range"
    )]
    Overlap {
        pool: IpNet,
        range: IpNet,
        other: Other,
    },
    #[error(
        "all ranges of /{mask} in {} are taken: give the cluster another pool beside it",
        list(pools)
    )]
    Exhausted { pools: Vec<IpNet>, mask: u8 },
}

impl Ranges {
    pub fn new(families: Vec<Family>) -> Result<Ranges, PoolError> {
        if families.is_empty() {
            return Err(PoolError::None);
        }
        Ok(Ranges {
            next: vec![0; families.len()],
            families,
            nodes: BTreeMap::new(),
            others: BTreeMap::new(),
        })
    }

    /// What a node has; ranges that another one has already are told of.
    pub fn has(&mut self, node: &str, ranges: Vec<IpNet>) -> Vec<(IpNet, String)> {
        let mut twice = Vec::new();
        for range in &ranges {
            let other = self.nodes.iter().find(|(name, theirs)| {
                *name != node && theirs.iter().any(|theirs| overlap(theirs, range))
            });
            twice.extend(other.map(|(name, _)| (*range, name.clone())));
        }
        self.nodes.insert(node.to_owned(), ranges);
        twice
    }

    pub fn of(&self, node: &str) -> Vec<IpNet> {
        self.nodes.get(node).cloned().unwrap_or_default()
    }

    pub fn gone(&mut self, node: &str) {
        self.nodes.remove(node);
    }

    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub fn others(&mut self, other: Other, ranges: Vec<IpNet>) {
        match ranges.is_empty() {
            true => self.others.remove(&other),
            false => self.others.insert(other, ranges),
        };
    }

    /// The other clusters, and no more of those that are not among them.
    pub fn only_clusters(&mut self, clusters: &BTreeMap<String, Vec<IpNet>>) {
        self.others
            .retain(|other, _| !matches!(other, Other::Cluster(_)));
        for (name, ranges) in clusters {
            self.others(Other::Cluster(name.clone()), ranges.clone());
        }
    }

    /// What the node is to have: what it has, and one of each family that it lacks. None if it lacks nothing.
    pub fn give(&mut self, node: &str) -> Result<Option<Vec<IpNet>>, Refusal> {
        let mut has = self.of(node);
        let before = has.len();
        for (index, family) in self.families.iter().enumerate() {
            if has
                .iter()
                .any(|range| range.addr().is_ipv6() == family.is_v6())
            {
                continue;
            }
            self.check(family)?;
            let taken = self.nodes.values().flatten();
            let taken = taken
                .map(|range| (range.addr(), range.prefix_len()))
                .collect();
            let range = family.free(&taken, &mut self.next[index]);
            has.push(range.ok_or_else(|| Refusal::Exhausted {
                pools: family.pools.clone(),
                mask: family.mask,
            })?);
        }
        if has.len() == before {
            return Ok(None);
        }
        self.nodes.insert(node.to_owned(), has.clone());
        Ok(Some(has))
    }

    /// No pool may have addresses of others in it.
    fn check(&self, family: &Family) -> Result<(), Refusal> {
        for (other, ranges) in &self.others {
            for (pool, range) in family
                .pools
                .iter()
                .flat_map(|pool| ranges.iter().map(move |range| (pool, range)))
            {
                if overlap(pool, range) {
                    return Err(Refusal::Overlap {
                        pool: *pool,
                        range: *range,
                        other: other.clone(),
                    });
                }
            }
        }
        Ok(())
    }
}

pub fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// Ranges of one size apart from each other are found by where they begin; others by looking at what may hold them.
fn overlaps_any(taken: &BTreeSet<(IpAddr, u8)>, range: &IpNet) -> bool {
    let within = taken
        .range((range.network(), 0)..=(range.broadcast(), u8::MAX))
        .next();
    let holds = || {
        (0..range.prefix_len()).any(|length| {
            let larger = IpNet::new(range.addr(), length).expect("a shorter prefix");
            taken.contains(&(larger.network(), length))
        })
    };
    within.is_some() || holds()
}

fn subnet(pool: &IpNet, mask: u8, index: u32) -> IpNet {
    let index = u128::from(index);
    match pool {
        IpNet::V4(pool) => {
            let first = u128::from(u32::from(pool.network())) + (index << (32 - mask));
            let first = u32::try_from(first).expect("within the pool").into();
            Ipv4Net::new(first, mask)
                .expect("a mask of the pool")
                .into()
        }
        IpNet::V6(pool) => {
            let first = u128::from(pool.network()) + (index << (128 - mask));
            Ipv6Net::new(first.into(), mask)
                .expect("a mask of the pool")
                .into()
        }
    }
}

fn list(ranges: &[IpNet]) -> String {
    let ranges: Vec<String> = ranges.iter().map(IpNet::to_string).collect();
    ranges.join(", ")
}
