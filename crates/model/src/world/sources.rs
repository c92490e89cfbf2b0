//! Who tells of the world, how far each has come, and for whom what was recovered is kept.
//!
//! Which clusters there are is told at run time, by name; which number a cluster has is known when it is read, or from
//! before. Until then any row of a cluster that nobody speaks for may be its.

use crate::{
    config::Config,
    event::Event,
    fact::{Set, Source},
    id::ClusterId,
    ledger::Owner,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How many records of one source are remembered as malformed.
const MALFORMED_MAX: usize = 10_000;

pub(super) struct Sources {
    streams: BTreeMap<(Source, Set), Stream>,
    /// Absent until it is known which clusters there are.
    awaited: Option<BTreeMap<String, Option<ClusterId>>>,
    /// Clusters that have been heard and are not any more, and since when.
    stale: BTreeMap<ClusterId, Duration>,
    /// Kubernetes tells of namespaces.
    has_namespaces: bool,
}

/// Where a source is in telling of one set.
#[derive(Default)]
struct Stream {
    generation: u64,
    synced: bool,
    malformed: BTreeSet<String>,
}

impl Sources {
    pub(super) fn new(config: &Config) -> Sources {
        Sources {
            streams: BTreeMap::new(),
            awaited: (!config.reads_clusters).then(BTreeMap::new),
            stale: BTreeMap::new(),
            has_namespaces: config.sources.contains(&Source::Kubernetes),
        }
    }

    /// The number of the snapshot that a stream is in.
    pub(super) fn follow<K, V>(&mut self, stream: (Source, Set), event: &Event<K, V>) -> u64 {
        let stream = self.streams.entry(stream).or_default();
        match event {
            Event::Restart => {
                stream.generation += 1;
                stream.malformed.clear();
            }
            Event::Synced => stream.synced = true,
            Event::Upsert(..) | Event::Delete(_) => {}
        }
        stream.generation
    }

    pub(super) fn note_malformed(&mut self, source: Source, set: Set, record: String) {
        let stream = self.streams.entry((source, set)).or_default();
        if stream.malformed.len() < MALFORMED_MAX {
            stream.malformed.insert(record);
        }
    }

    pub(super) fn malformed(&self) -> impl Iterator<Item = (Source, Set, &String)> {
        let streams = self.streams.iter();
        streams.flat_map(|((source, set), stream)| {
            let records = stream.malformed.iter();
            records.map(|record| (*source, *set, record))
        })
    }

    pub(super) fn await_clusters(&mut self, clusters: BTreeMap<String, Option<ClusterId>>) {
        self.awaited = Some(clusters);
    }

    pub(super) fn note_stale(&mut self, cluster: ClusterId, is_stale: bool, now: Duration) {
        if is_stale {
            self.stale.entry(cluster).or_insert(now);
        } else {
            self.stale.remove(&cluster);
        }
    }

    /// The clusters of which there are no news, and since when; those too that have not told all they have since the start.
    pub(super) fn stale(&self) -> BTreeMap<ClusterId, Duration> {
        let awaited = self.awaited.iter().flat_map(BTreeMap::values).flatten();
        let mut stale: BTreeMap<_, _> = awaited.map(|id| (*id, Duration::ZERO)).collect();
        stale.extend(&self.stale);
        stale
    }

    pub(super) fn synced(&self, config: &Config) -> bool {
        let clusters = self.awaited.as_ref();
        clusters.is_some_and(BTreeMap::is_empty) && self.configured_told(config)
    }

    pub(super) fn synced_but_for_clusters(&self, config: &Config) -> bool {
        let mut others = config.sources.iter().filter(|source| !is_cluster(**source));
        self.awaited.is_some() && others.all(|source| self.told(*source))
    }

    /// The clusters that have not told all, by name, our own among them where it is read.
    pub(super) fn awaited(&self, config: &Config) -> Vec<String> {
        let own = Source::Cluster(config.cluster_id);
        let own = config.sources.contains(&own) && !self.told(own);
        let own = own.then(|| config.cluster.clone());
        let others = self.awaited.iter().flat_map(BTreeMap::keys).cloned();
        own.into_iter().chain(others).collect()
    }

    /// Whether somebody who has not told all yet may know of rows of this owner.
    pub(super) fn await_owner(&self, owner: Owner, config: &Config) -> bool {
        let Some(awaited) = &self.awaited else {
            return true;
        };
        if !self.configured_told(config) {
            return true;
        }
        match owner {
            None => !awaited.is_empty(),
            Some(id) if id == config.cluster_id || self.told(Source::Cluster(id)) => false,
            Some(id) => awaited
                .values()
                .any(|known| known.is_none_or(|known| known == id)),
        }
    }

    /// Whether all is known that the own cluster has of services, and which other clusters there are.
    pub(super) fn knows_services(&self) -> bool {
        let own = [Set::Services, Set::EndpointSlices];
        let told = |set: Set| self.has_synced(Source::Kubernetes, set);
        let is_scoped = !self.has_namespaces || told(Set::Namespaces);
        self.awaited.is_some() && is_scoped && own.into_iter().all(told)
    }

    /// Whether a cluster may have backends that it has not told of since the start. One of its two formats is enough.
    pub(super) fn awaits_services(&self, cluster: ClusterId) -> bool {
        let source = Source::Cluster(cluster);
        if [Set::Services, Set::EndpointSlices]
            .into_iter()
            .any(|set| self.has_synced(source, set))
        {
            return false;
        }
        let named = self.awaited.iter().flat_map(BTreeMap::values);
        let mut named = named.filter(|known| known.is_none_or(|known| known == cluster));
        named.next().is_some() || self.streams.keys().any(|(other, _)| *other == source)
    }

    fn configured_told(&self, config: &Config) -> bool {
        config.sources.iter().all(|source| self.told(*source))
    }

    fn told(&self, source: Source) -> bool {
        [Set::Nodes, Set::Addresses]
            .into_iter()
            .all(|set| self.has_synced(source, set))
    }

    fn has_synced(&self, source: Source, set: Set) -> bool {
        let stream = self.streams.get(&(source, set));
        stream.is_some_and(|stream| stream.synced)
    }
}

fn is_cluster(source: Source) -> bool {
    matches!(source, Source::Cluster(_))
}
