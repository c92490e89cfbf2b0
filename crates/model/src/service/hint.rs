//! For whom endpoints are meant: the hints that the own cluster's slices carry, so that traffic stays near.
//!
//! They are followed as kube-proxy does: only where every ready endpoint of a port has one, and one is meant for this node or its
//! zone. Other clusters' backends have none here: whether these are used is said by affinity.

use super::{merge::Here, rule::Weights};
use std::sync::Arc;

/// As a slice has them; none where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    pub zones: Vec<Arc<str>>,
    pub nodes: Vec<Arc<str>>,
}

/// For whom an endpoint is meant, as this node sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hint {
    node: Meant,
    zone: Meant,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Meant {
    #[default]
    Unsaid,
    Us,
    Others,
}

/// Which hints are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Near {
    All,
    Zone,
    Node,
}

/// The ready endpoints of a pool that hints may speak of.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Which of the tiers they are of.
    pub tier: usize,
    ready: usize,
    node: Side,
    zone: Side,
}

#[derive(Clone, Debug, Default)]
struct Side {
    us: usize,
    others: usize,
    /// Of those that are meant for others.
    weights: Weights,
}

impl Meant {
    fn of(names: &[Arc<str>], own: Option<&str>) -> Meant {
        if names.is_empty() {
            return Meant::Unsaid;
        }
        match own {
            Some(own) if names.iter().any(|name| **name == *own) => Meant::Us,
            _ => Meant::Others,
        }
    }
}

impl Hint {
    pub(super) fn of(hints: Option<&Hints>, here: &Here) -> Hint {
        let Some(hints) = hints else {
            return Hint::default();
        };
        Hint {
            node: Meant::of(&hints.nodes, Some(&here.node)),
            zone: Meant::of(&hints.zones, here.zone.as_deref()),
        }
    }

    /// Whether it is left to others.
    pub(super) fn is_for_others(self, near: Near) -> bool {
        match near {
            Near::All => false,
            Near::Zone => self.zone == Meant::Others,
            Near::Node => self.node == Meant::Others,
        }
    }
}

impl Tally {
    pub(super) fn add(&mut self, hint: Hint, weight: u16) {
        self.ready += 1;
        self.node.add(hint.node, weight);
        self.zone.add(hint.zone, weight);
    }

    pub(super) fn take(&mut self, hint: Hint, weight: u16) {
        self.ready -= 1;
        self.node.take(hint.node, weight);
        self.zone.take(hint.zone, weight);
    }

    pub(super) fn near(&self) -> Near {
        if self.node.is_followed(self.ready) {
            Near::Node
        } else if self.zone.is_followed(self.ready) {
            Near::Zone
        } else {
            Near::All
        }
    }

    /// Of those that are left to others.
    pub(super) fn weights(&self, near: Near) -> Option<&Weights> {
        match near {
            Near::All => None,
            Near::Zone => Some(&self.zone.weights),
            Near::Node => Some(&self.node.weights),
        }
    }

    /// Every one is meant for a zone, and none for ours.
    pub(super) fn has_no_zone(&self) -> bool {
        self.ready > 0 && self.near() == Near::All && self.zone.others == self.ready
    }
}

impl Side {
    fn add(&mut self, meant: Meant, weight: u16) {
        match meant {
            Meant::Unsaid => {}
            Meant::Us => self.us += 1,
            Meant::Others => {
                self.others += 1;
                self.weights.add(weight);
            }
        }
    }

    fn take(&mut self, meant: Meant, weight: u16) {
        match meant {
            Meant::Unsaid => {}
            Meant::Us => self.us -= 1,
            Meant::Others => {
                self.others -= 1;
                self.weights.take(weight);
            }
        }
    }

    fn is_followed(&self, ready: usize) -> bool {
        self.us > 0 && self.us + self.others == ready
    }
}
