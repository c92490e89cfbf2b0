//! All manifests of a folder at one time, told as one snapshot of every kind.
//!
//! What could not be read is not thereby gone: an object that is refused stays as it was known before, and as long as
//! it is not even known which object something was, nothing is taken for gone.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use tombolo_model::event::Event;

use crate::{Kind, Object, ObjectKey, Reject, Translator, manifest::Manifest};

#[derive(Debug, Default)]
pub struct Snapshot {
    objects: BTreeMap<ObjectKey, Object>,
    rejects: Vec<Reject>,
    ignored: usize,
}

impl Snapshot {
    /// Of an object that stands in several places the first one is taken.
    pub fn add(&mut self, name: &str, manifest: Manifest) {
        for (key, object) in manifest.objects {
            if self.objects.contains_key(&key) {
                let reason = "it stands in another place already";
                let reject = Reject {
                    key: Some(Box::new(key)),
                    ..Reject::whole(name, reason)
                };
                self.rejects.push(reject);
                continue;
            }
            self.objects.insert(key, object);
        }
        self.rejects.extend(manifest.rejects);
        self.ignored += manifest.ignored;
    }

    /// A file that could not be read at all.
    pub fn unreadable(&mut self, name: &str, reason: &str) {
        self.rejects.push(Reject::whole(name, reason));
    }

    pub fn rejects(&self) -> &[Reject] {
        &self.rejects
    }

    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// Whether it is known of every object whether it is here.
    pub fn is_complete(&self) -> bool {
        self.rejects.iter().all(|reject| reject.key.is_some())
    }

    pub fn tell(self, translator: &mut Translator) -> Vec<Reject> {
        let complete = self.is_complete();
        for kind in Kind::ALL {
            translator.handle(kind, Event::Restart);
        }
        for (key, object) in self.objects {
            translator.handle(key.kind, Event::Upsert(key, object));
        }
        for key in self
            .rejects
            .iter()
            .filter_map(|reject| reject.key.as_deref())
        {
            translator.keep(key);
        }
        if complete {
            for kind in Kind::ALL {
                translator.handle(kind, Event::Synced);
            }
        }
        self.rejects
    }
}
