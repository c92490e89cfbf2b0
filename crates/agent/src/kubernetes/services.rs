//! The cluster's services and what answers for them as facts.

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tombolo_control::Feed;
use tombolo_k8s::{
    Kind, Object,
    client::{Api, Item, ObjectName, Selection, WatchChange},
};
use tombolo_model::{
    config::Config,
    event::Event,
    fact::{Fact, Set},
    record::Namespaced,
};

use super::{Kubernetes, SOURCE, malformed};
use crate::facts::BATCH;

/// For ever.
pub async fn follow(kubernetes: &Kubernetes, config: &Config, facts: mpsc::Sender<Vec<Fact>>) {
    let feed = |api| {
        let selection = Selection::all(api);
        Feed::new(&kubernetes.client, selection, &kubernetes.troubles)
    };
    let (mut services, mut slices) = (feed(Api::SERVICES), feed(Api::ENDPOINT_SLICES));
    let cluster: Arc<str> = config.cluster.as_str().into();
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            change = services.next() => batch.push(service(change)),
            change = slices.next() => batch.push(slice(change, &cluster)),
        }
        // What is there already is taken along.
        while batch.len() < BATCH {
            if let Some(change) = services.next().now_or_never() {
                batch.push(service(change));
            } else if let Some(change) = slices.next().now_or_never() {
                batch.push(slice(change, &cluster));
            } else {
                break;
            }
        }
        if facts.send(batch).await.is_err() {
            return;
        }
    }
}

fn service(change: WatchChange) -> Fact {
    let read = |name: ObjectName, item: Item| match item.object(Kind::Service) {
        Ok((_, Object::Service(service))) => {
            Ok(Event::Upsert(namespaced(name), service.definition()))
        }
        Ok((key, _)) => unreachable!("{key} was read as a Service"),
        Err(reject) => Err(reject.to_string()),
    };
    match event(change, read) {
        Ok(event) => Fact::Service(event),
        Err(record) => malformed(Set::Services, record),
    }
}

fn slice(change: WatchChange, cluster: &Arc<str>) -> Fact {
    let read = |name: ObjectName, item: Item| match item.object(Kind::EndpointSlice) {
        Ok((_, Object::EndpointSlice(slice))) => {
            Ok(match slice.offer(&name.namespace, cluster) {
                Some(offer) => Event::Upsert(namespaced(name), offer),
                // It may have been a service's before.
                None => Event::Delete(namespaced(name)),
            })
        }
        Ok((key, _)) => unreachable!("{key} was read as an EndpointSlice"),
        Err(reject) => Err(reject.to_string()),
    };
    match event(change, read) {
        Ok(event) => Fact::Slice(SOURCE, event),
        Err(record) => malformed(Set::EndpointSlices, record),
    }
}

/// Of the watch that pods' labels are read by too.
pub fn namespace(change: &WatchChange) -> Fact {
    let event = match change {
        Err(reject) => Err(reject.to_string()),
        Ok(Event::Restart) => Ok(Event::Restart),
        Ok(Event::Synced) => Ok(Event::Synced),
        Ok(Event::Delete(name)) => Ok(Event::Delete(name.name.clone())),
        Ok(Event::Upsert(name, item)) => match item.object(Kind::Namespace) {
            Ok((_, Object::Namespace(space))) => Ok(Event::Upsert(name.name.clone(), space.global)),
            Ok((key, _)) => unreachable!("{key} was read as a Namespace"),
            Err(reject) => Err(reject.to_string()),
        },
    };
    match event {
        Ok(event) => Fact::Namespace(event),
        Err(record) => malformed(Set::Namespaces, record),
    }
}

fn event<T>(
    change: WatchChange,
    read: impl FnOnce(ObjectName, Item) -> Result<Event<Namespaced, T>, String>,
) -> Result<Event<Namespaced, T>, String> {
    match change {
        Err(reject) => Err(reject.to_string()),
        Ok(Event::Restart) => Ok(Event::Restart),
        Ok(Event::Synced) => Ok(Event::Synced),
        Ok(Event::Delete(name)) => Ok(Event::Delete(namespaced(name))),
        Ok(Event::Upsert(name, item)) => read(name, item),
    }
}

fn namespaced(name: ObjectName) -> Namespaced {
    let ObjectName { namespace, name } = name;
    Namespaced { namespace, name }
}
