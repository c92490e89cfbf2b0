//! A cluster's objects as its API server tells of them, kind by kind.

use std::pin::pin;

use anyhow::Result;
use futures_util::{FutureExt as _, future::select_all};
use tombolo_k8s::{
    Client, Kind, Object, ObjectKey, Reject,
    client::{Api, ObjectName, Selection, WatchChange},
};
use tombolo_model::event::Event;

use super::exporter::Exporter;
use crate::{Feed, Troubles};

/// Changes that are taken at once, if so many are there.
const CHANGES: usize = 512;

pub struct Kubernetes {
    client: Client,
    feeds: Vec<(Kind, Feed)>,
    /// Kinds that nothing is told of: there are none, as far as peers are concerned.
    without: Vec<Kind>,
}

impl Kubernetes {
    pub fn new(client: Client, with_exports: bool, troubles: &Troubles) -> Kubernetes {
        let (with, without): (Vec<Kind>, Vec<Kind>) = Kind::ALL
            .into_iter()
            .partition(|kind| *kind != Kind::ServiceExport || with_exports);
        let feeds = with.into_iter().map(|kind| {
            let selection = Selection::all(Api::of(kind));
            (kind, Feed::new(&client, selection, troubles))
        });
        Kubernetes {
            feeds: feeds.collect(),
            without,
            client,
        }
    }

    pub fn server(&self) -> String {
        self.client.server().to_owned()
    }

    /// For ever: an API server that is away is waited for, and what it told stays told.
    pub async fn follow(mut self, exporter: &Exporter) -> Result<()> {
        let none = |kind| [(kind, Event::Restart), (kind, Event::Synced)];
        let none = self.without.iter().copied().flat_map(none);
        exporter.change(none.collect()).await;
        loop {
            let mut changes = Vec::new();
            let mut next = Some(self.next().await);
            // What is there already is taken along.
            while let Some((kind, change)) = next {
                match read(kind, change) {
                    Ok(event) => changes.push((kind, event)),
                    Err(reject) => {
                        // What came before it counts before it.
                        exporter.change(std::mem::take(&mut changes)).await;
                        exporter.refuse(reject);
                    }
                }
                next = match changes.len() < CHANGES {
                    true => self.next().now_or_never(),
                    false => None,
                };
            }
            exporter.change(changes).await;
        }
    }

    async fn next(&mut self) -> (Kind, WatchChange) {
        let feeds = self.feeds.iter_mut().map(|(kind, feed)| {
            let kind = *kind;
            Box::pin(async move { (kind, feed.next().await) })
        });
        let first = pin!(select_all(feeds));
        first.await.0
    }
}

fn read(kind: Kind, change: WatchChange) -> Result<Event<ObjectKey, Object>, Reject> {
    Ok(match change? {
        Event::Restart => Event::Restart,
        Event::Synced => Event::Synced,
        Event::Delete(name) => Event::Delete(key(kind, name)),
        Event::Upsert(_, item) => {
            let (key, object) = item.object(kind)?;
            Event::Upsert(key, object)
        }
    })
}

fn key(kind: Kind, name: ObjectName) -> ObjectKey {
    ObjectKey {
        kind,
        namespace: name.namespace,
        name: name.name,
    }
}
