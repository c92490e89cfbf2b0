//! What is wanted at each key, and which keys wait to be written.

use std::mem;

use bytes::Bytes;
use tombolo_kvstore::Keys;
use tombolo_model::record::Timestamp;

use super::{Phase, Set, Writer, places::Place};

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
        let place = self.entries.place(key, set);
        let entry = self.entries.at_mut(place);
        entry.generation = generation;
        let stands = entry.lease.is_some() || entry.waits || entry.flies;
        if entry.wanted == value && stands {
            return;
        }
        entry.wanted = value;
        if !self.refused.is_empty() {
            self.refused.remove(&entry.key);
        }
        self.enqueue(place);
    }

    pub(super) fn enqueue(&mut self, place: Place) {
        let entry = self.entries.at_mut(place);
        if !entry.waits {
            let pending = usize::from(!entry.flies);
            entry.waits = true;
            if let Some(set) = entry.set.as_ref().and_then(|set| self.sets.get_mut(set)) {
                set.pending += pending;
            }
            self.queue.push_back(place);
        }
    }

    pub(super) fn sweep(&mut self, prefix: &Bytes, gone: impl Fn(u64) -> bool) {
        let of_set = self.entries.of_set(prefix);
        let gone = of_set.filter(|entry| gone(entry.generation) && entry.wanted.is_some());
        let gone: Vec<_> = gone.map(|entry| entry.key.clone()).collect();
        if !self.leads() {
            return self.forget_all(&gone);
        }
        for key in gone {
            self.want(key, None, Some(prefix));
        }
    }

    /// Forgets the keys of a set, as if they had never been told.
    pub(super) fn forget_keys(&mut self, prefix: &Bytes) {
        let of_set = self.entries.of_set(prefix);
        let keys: Vec<_> = of_set.map(|entry| entry.key.clone()).collect();
        self.forget_all(&keys);
    }

    /// Nothing of them may be under way.
    pub(super) fn forget_all(&mut self, keys: &[Bytes]) {
        let mut waiting = false;
        for key in keys {
            let Some(place) = self.entries.find(key) else {
                continue;
            };
            let entry = self.entries.at_mut(place);
            assert!(!entry.flies, "{:?} is being written", entry.key);
            if !mem::take(&mut entry.waits) {
                continue;
            }
            waiting = true;
            if let Some(set) = entry.set.as_ref().and_then(|set| self.sets.get_mut(set)) {
                set.pending -= 1;
            }
        }
        if waiting {
            let entries = &self.entries;
            self.queue.retain(|place| entries.at(*place).waits);
        }
        for key in keys {
            self.entries.remove(key);
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
            && !self.entries.contains(canary)
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
