//! From objects to keys that are wanted in the store: the translator and the export, and what was refused on the way.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tombolo_clustermesh::{drive::Signals, export::Export, writer};
use tombolo_k8s::{Kind, Object, ObjectKey, Reject, Snapshot, Translator};
use tombolo_model::event::Event;

use super::ApiserverOptions;
use crate::options::{random, replica};

/// Keys that wait to be written, before more objects are taken.
const PENDING_MAX: usize = 20_000;
/// Refused objects that are remembered, so that the count falls when they are mended.
const REFUSED_MAX: usize = 1000;

pub struct Exporter {
    pub export: Mutex<Export>,
    pub signals: Signals,
    sources: Mutex<Sources>,
}

/// What comes in, and what could not be taken of it.
pub struct Sources {
    pub translator: Translator,
    /// By object, or by place where it is not known which object it was.
    pub refused: BTreeMap<String, String>,
    /// Beyond those that are remembered.
    pub refused_more: u64,
    /// Objects of kinds that nothing is told of.
    pub ignored: u64,
}

impl Exporter {
    pub fn new(options: &ApiserverOptions) -> Exporter {
        let translator = options.translator();
        let resources: Vec<_> = translator.resources().collect();
        let export = Export::new(
            &options.cluster.cluster_name,
            options.config(),
            &resources,
            replica(),
            random(),
        );
        Exporter {
            export: Mutex::new(export),
            signals: Signals::default(),
            sources: Mutex::new(Sources {
                translator,
                refused: BTreeMap::new(),
                refused_more: 0,
                ignored: 0,
            }),
        }
    }

    pub fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn export(&self) -> MutexGuard<'_, Export> {
        self.export.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn writer(&self) -> writer::Status {
        self.export().status()
    }

    /// Whether all that there was at first is in the store.
    pub fn is_written(&self) -> bool {
        self.export().is_written()
    }

    /// All objects at one time, in place of what was known.
    pub async fn replace(&self, snapshot: Snapshot) {
        {
            let mut sources = self.sources();
            sources.ignored = snapshot.ignored() as u64;
            sources.refused.clear();
            sources.refused_more = 0;
            for reject in snapshot.tell(&mut sources.translator) {
                sources.refuse(reject);
            }
        }
        self.tell().await;
    }

    /// Changes of single objects, in order.
    pub async fn change(&self, changes: Vec<(Kind, Event<ObjectKey, Object>)>) {
        {
            let mut sources = self.sources();
            for (kind, event) in changes {
                if let Event::Upsert(key, _) | Event::Delete(key) = &event
                    && !sources.refused.is_empty()
                {
                    sources.refused.remove(&key.to_string());
                }
                sources.translator.handle(kind, event);
            }
        }
        self.tell().await;
    }

    pub fn refuse(&self, reject: Reject) {
        let mut sources = self.sources();
        if let Some(key) = &reject.key {
            sources.translator.keep(key);
        }
        sources.refuse(reject);
    }

    pub fn ignore(&self) {
        self.sources().ignored += 1;
    }

    /// Hands on what has come of it, and waits while much is still to be written.
    async fn tell(&self) {
        {
            let mut sources = self.sources();
            let mut export = self.export();
            while let Some((resource, event)) = sources.translator.poll() {
                export.handle(resource, event);
            }
        }
        self.signals.work.notify_one();
        loop {
            let mut room = pin!(self.signals.room.notified());
            room.as_mut().enable();
            if self.export().pending() < PENDING_MAX {
                return;
            }
            room.await;
        }
    }
}

impl Sources {
    fn refuse(&mut self, reject: Reject) {
        let name = match &reject.key {
            Some(key) => key.to_string(),
            None => reject.place.clone(),
        };
        let text = reject.to_string();
        if self.refused.get(&name) != Some(&text) {
            tracing::warn!("an object is refused: {text}");
        }
        if self.refused.len() >= REFUSED_MAX && !self.refused.contains_key(&name) {
            self.refused_more += 1;
        } else {
            self.refused.insert(name, text);
        }
    }
}
