//! What is wanted at each key, and which keys wait to be written.

use bytes::Bytes;
use tombolo_kvstore::Keys;
use tombolo_model::record::Timestamp;

use super::{Entry, Phase, Set, Writer};

impl Writer {
    pub(super) fn timestamp(&self) -> String {
        Timestamp(self.options.epoch + self.now.as_secs()).to_string()
    }

    pub(super) fn want(&mut self, key: Bytes, value: Option<Bytes>, set: Option<&Bytes>) {
        if value.is_none() && !self.leads() {
            // Whatever stands there is looked at when we begin to lead.
            return self.forget_all(&[key]);
        }
        let generation = set
            .and_then(|set| self.sets.get(set))
            .map_or(0, |set| set.generation);
        let entry = self.entries.entry(key.clone()).or_insert_with(|| Entry {
            wanted: None,
            set: set.cloned(),
            generation,
            term: self.term,
            lease: None,
            waits: false,
            flies: false,
        });
        (entry.generation, entry.term) = (generation, self.term);
        let stands = entry.lease.is_some() || entry.waits || entry.flies;
        if entry.wanted == value && stands {
            return;
        }
        entry.wanted = value;
        self.refused.remove(&key);
        self.enqueue(key);
    }

    pub(super) fn enqueue(&mut self, key: Bytes) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        if !entry.waits {
            let pending = usize::from(!entry.flies);
            entry.waits = true;
            if let Some(set) = entry.set.as_ref().and_then(|set| self.sets.get_mut(set)) {
                set.pending += pending;
            }
            self.queue.push_back(key);
        }
    }

    pub(super) fn sweep(&mut self, prefix: &Bytes, gone: impl Fn(u64) -> bool) {
        let of_set = self.entries.range(prefix.clone()..);
        let of_set = of_set.take_while(|(key, _)| key.starts_with(prefix));
        let gone = of_set.filter(|(_, entry)| gone(entry.generation) && entry.wanted.is_some());
        let gone: Vec<_> = gone.map(|(key, _)| key.clone()).collect();
        if !self.leads() {
            return self.forget_all(&gone);
        }
        for key in gone {
            self.want(key, None, Some(prefix));
        }
    }

    /// Forgets what was last spoken of before a term, as if it had never been told.
    pub(super) fn forget_keys(&mut self, prefix: &Bytes, before: u64) {
        let of_set = self.entries.range(prefix.clone()..);
        let of_set = of_set.take_while(|(key, _)| key.starts_with(prefix));
        let old = of_set.filter(|(_, entry)| entry.term < before);
        let old: Vec<_> = old.map(|(key, _)| key.clone()).collect();
        self.forget_all(&old);
    }

    /// Nothing of them may be under way.
    pub(super) fn forget_all(&mut self, keys: &[Bytes]) {
        let mut waiting = false;
        for key in keys {
            let Some(entry) = self.entries.remove(key) else {
                continue;
            };
            assert!(!entry.flies, "{key:?} is being written");
            waiting |= entry.waits;
            if let Some(set) = entry.set.as_ref().and_then(|set| self.sets.get_mut(set)) {
                set.pending -= usize::from(entry.waits);
            }
        }
        if waiting {
            self.queue.retain(|key| self.entries.contains_key(key));
        }
    }

    /// Writes the canary of a set that is complete; forgets a set that is empty after its removal.
    pub(super) fn settle(&mut self, prefix: &Bytes) {
        let Some(set) = self.sets.get(prefix) else {
            return;
        };
        if set.pending > 0 {
            return;
        }
        let Phase::Leading = self.phase else {
            return;
        };
        if set.removed {
            self.sets.remove(prefix);
        } else if let (true, Some(canary)) = (set.complete, &set.canary)
            && !self.entries.contains_key(canary)
        {
            let time = self.timestamp();
            self.want(canary.clone(), Some(time.into()), None);
        }
    }
}

impl Set {
    /// What to look for of a former writer.
    pub(super) fn ranges(&self, prefix: &Bytes) -> Vec<Keys> {
        let canary = self.canary.iter().map(|canary| Keys::One(canary.clone()));
        canary.chain([Keys::prefix(prefix)]).collect()
    }
}
