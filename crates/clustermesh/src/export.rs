//! What our own cluster tells its peers, in Cilium's wire format.
//!
//! Which objects are told of is decided by those who watch them: what is not told of here is not exported.

#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use bytes::Bytes;
use tombolo_model::{
    event::Event,
    record::{ClusterConfig, Key, Name, Record, RecordKey, Resource, Tree},
};

use crate::{
    Random,
    drive::Writing,
    writer::{Answer, Ask, Options, Status, Writer},
};

#[derive(Debug)]
pub struct Export {
    cluster: String,
    writer: Writer,
}

impl Export {
    /// Exports records of these kinds, and the config, which says to peers that they wait for canaries.
    pub fn new(
        cluster: &str,
        mut config: ClusterConfig,
        resources: &[Resource],
        options: Lock,
        random: Random,
    ) -> Export {
        let options = Options {
            lock: Bytes::from_static(b"cilium/.export-lock"),
            holder: options.holder,
            heartbeat: Some(Key::Heartbeat.to_string().into()),
            epoch: options.epoch,
            // What watches the cluster knows better than the store, however long we stood by.
            told_anew: false,
        };
        let mut writer = Writer::new(options, random);
        for resource in resources {
            let canary = Key::Synced {
                cluster: cluster.to_owned(),
                tree: Tree::State,
                resource: *resource,
            };
            let prefix = resource.prefix(Tree::State, cluster);
            writer.add_set(prefix.into(), Some(canary.to_string().into()));
        }
        config.capabilities.synced_canaries = true;
        config.capabilities.cached = false;
        let key = Key::ClusterConfig {
            cluster: cluster.to_owned(),
        };
        writer.put(key.to_string().into(), config.encode().into());
        let cluster = cluster.to_owned();
        Export { cluster, writer }
    }

    pub fn handle(&mut self, resource: Resource, event: Event<Name, Record>) {
        let prefix = resource.prefix(Tree::State, &self.cluster).into();
        let event = match event {
            Event::Restart => Event::Restart,
            Event::Synced => Event::Synced,
            Event::Upsert(name, record) => Event::Upsert(self.key(name), encode(&record).into()),
            Event::Delete(name) => Event::Delete(self.key(name)),
        };
        self.writer.handle(&prefix, event);
    }

    pub fn status(&self) -> Status {
        self.writer.status()
    }

    /// Whether the store has all that there was when it was told whole, or another one sees to that.
    pub fn is_written(&self) -> bool {
        self.writer.stands_by() || self.writer.holds_all()
    }

    /// How much waits to be written.
    pub fn pending(&self) -> usize {
        self.writer.pending()
    }

    fn key(&self, name: Name) -> Bytes {
        RecordKey::new(Tree::State, &self.cluster, name)
            .to_string()
            .into()
    }
}

/// Who we are among the replicas, and when.
#[derive(Clone, Debug)]
pub struct Lock {
    /// For people who look at the lock.
    pub holder: Bytes,
    /// Seconds since 1970 at the start that `now` counts from.
    pub epoch: u64,
}

impl Writing for Export {
    fn poll_ask(&mut self, now: Duration) -> Option<Ask> {
        self.writer.poll_ask(now)
    }

    fn answered(&mut self, answer: Answer, now: Duration) {
        self.writer.answered(answer, now);
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.writer.poll_timeout()
    }

    fn term(&self) -> u64 {
        self.writer.term()
    }
}

fn encode(record: &Record) -> Vec<u8> {
    match record {
        Record::Node(node) => node.encode(),
        Record::Identity(_, labels) => labels.encode(),
        Record::Address(address) => address.encode(),
        Record::Service(service) => service.encode(),
        Record::EndpointSlice(slice) => slice.encode(),
        Record::ServiceExport(export) => export.encode(),
    }
}
