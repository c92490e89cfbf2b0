//! Those who watch packets: each has a queue of its own, and who is too slow is told how much was lost.

use tokio::sync::mpsc::{self, error::TrySendError};
use tombolo_model::{
    local::Reply,
    reason::{Flow, FlowVerdict},
};

#[cfg(test)]
mod tests;

/// Flows that a subscriber may be behind by; at 10,000 a second it is a tenth of a second.
const QUEUE: usize = 1024;
pub const SUBSCRIBERS_MAX: usize = 16;

#[derive(Default)]
pub struct Hub {
    subscribers: Vec<Subscriber>,
    /// Of all subscribers there ever were.
    lost: u64,
}

struct Subscriber {
    queue: mpsc::Sender<Reply>,
    allowed: bool,
    lost: u64,
}

impl Hub {
    /// Absent when there are too many already.
    pub fn subscribe(&mut self, allowed: bool) -> Option<mpsc::Receiver<Reply>> {
        self.drop_gone();
        if self.subscribers.len() >= SUBSCRIBERS_MAX {
            return None;
        }
        let (queue, receiver) = mpsc::channel(QUEUE);
        self.subscribers.push(Subscriber {
            queue,
            allowed,
            lost: 0,
        });
        Some(receiver)
    }

    pub fn publish(&mut self, flows: &[Flow]) {
        self.drop_gone();
        for subscriber in &mut self.subscribers {
            for flow in flows {
                if subscriber.allowed || flow.verdict == FlowVerdict::Dropped {
                    self.lost += subscriber.offer(flow);
                }
            }
        }
    }

    /// The kernel had more to tell than its ring could hold.
    pub fn publish_lost(&mut self, flows: u64) {
        self.subscribers
            .iter_mut()
            .for_each(|subscriber| subscriber.lost += flows);
    }

    /// True if someone wants to see connections that were allowed.
    pub fn wants_allowed(&mut self) -> bool {
        self.drop_gone();
        self.subscribers.iter().any(|subscriber| subscriber.allowed)
    }

    pub fn subscribers(&self) -> usize {
        self.subscribers.len()
    }

    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn drop_gone(&mut self) {
        self.subscribers
            .retain(|subscriber| !subscriber.queue.is_closed());
    }
}

impl Subscriber {
    /// Returns how many flows were lost by it.
    fn offer(&mut self, flow: &Flow) -> u64 {
        if self.lost > 0
            && self
                .queue
                .try_send(Reply::Lost { flows: self.lost })
                .is_ok()
        {
            self.lost = 0;
        }
        match self.queue.try_send(Reply::Flow(flow.clone())) {
            Err(TrySendError::Full(_)) => {
                self.lost += 1;
                1
            }
            _ => 0,
        }
    }
}
