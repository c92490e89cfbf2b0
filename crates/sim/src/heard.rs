//! Which peers an agent has heard, as the agent's program notes it for its world: whom to wait for after a restart, and
//! which number each had.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_clustermesh::remote::Told;
use tombolo_model::{
    event::Event,
    fact::{Fact, Set, Source},
    id::ClusterId,
};

use crate::truth::name_of;

#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Kept in a file, for the next life.
    numbers: BTreeMap<usize, ClusterId>,
    /// Those that are wanted; true for those that have told all.
    peers: BTreeMap<usize, bool>,
    /// What each has told all of, under its number.
    progress: BTreeMap<usize, (Option<Source>, BTreeSet<Set>)>,
}

impl Heard {
    /// The process has started.
    pub(crate) fn start(&mut self) {
        self.peers.clear();
        self.progress.clear();
    }

    pub(crate) fn name(&mut self, wanted: &BTreeSet<usize>) -> Fact {
        self.peers.retain(|peer, _| wanted.contains(peer));
        self.numbers.retain(|peer, _| wanted.contains(peer));
        for peer in wanted {
            self.peers.entry(*peer).or_default();
        }
        self.awaited()
    }

    /// What a peer has told. Whom to wait for, if that is less now.
    pub(crate) fn note(&mut self, peer: usize, told: &[Told]) -> Option<Fact> {
        let (source, synced) = self.progress.entry(peer).or_default();
        let mut complete = false;
        for told in told {
            let (of, set, all) = match told {
                Told::Fact(Fact::Node(of, event)) => (*of, Set::Nodes, *event == Event::Synced),
                Told::Fact(Fact::Address(of, event)) => {
                    (*of, Set::Addresses, *event == Event::Synced)
                }
                _ => continue,
            };
            if source.replace(of) != Some(of) {
                synced.clear();
            }
            complete |= all && synced.insert(set) && synced.len() == 2;
        }
        if let (Some(Source::Cluster(id)), true) = (*source, self.peers.contains_key(&peer)) {
            self.numbers.insert(peer, id);
        }
        let heard = self.peers.get_mut(&peer).filter(|_| complete)?;
        (!std::mem::replace(heard, true)).then(|| self.awaited())
    }

    /// Its reader has ended.
    pub(crate) fn end(&mut self, peer: usize) {
        self.progress.remove(&peer);
    }

    fn awaited(&self) -> Fact {
        let awaited = self.peers.iter().filter(|(_, heard)| !**heard);
        let named = awaited.map(|(peer, _)| (name_of(*peer), self.numbers.get(peer).copied()));
        Fact::Awaited(named.collect())
    }
}
