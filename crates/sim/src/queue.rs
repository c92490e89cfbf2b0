//! What is to happen, in the order of time; at the same moment in the order in which it was put there.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<Due<E>>>,
    last: u64,
}

#[derive(Debug)]
struct Due<E> {
    at: Duration,
    number: u64,
    event: E,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue {
            heap: BinaryHeap::new(),
            last: 0,
        }
    }
}

impl<E> Queue<E> {
    pub(crate) fn put(&mut self, at: Duration, event: E) {
        self.last += 1;
        let number = self.last;
        self.heap.push(Reverse(Due { at, number, event }));
    }

    pub(crate) fn take(&mut self) -> Option<(Duration, E)> {
        let Reverse(due) = self.heap.pop()?;
        Some((due.at, due.event))
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}

impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Due<E> {}
