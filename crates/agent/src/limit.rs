//! How many callers are served at once, in all and from one address, so that none takes the place of the others.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[derive(Clone, Debug)]
pub struct Limit {
    all_max: usize,
    each_max: usize,
    used: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

/// Of a question, or of a connection, as long as it lives.
#[derive(Debug)]
pub struct Admitted {
    limit: Limit,
    ip: IpAddr,
}

impl Limit {
    pub fn new(all_max: usize, each_max: usize) -> Limit {
        Limit {
            all_max,
            each_max,
            used: Arc::default(),
        }
    }

    pub fn admit(&self, ip: IpAddr) -> Option<Admitted> {
        let mut used = self.used();
        let all: usize = used.values().sum();
        let own = used.get(&ip).copied().unwrap_or_default();
        if all >= self.all_max || own >= self.each_max {
            return None;
        }
        used.insert(ip, own + 1);
        Some(Admitted {
            limit: self.clone(),
            ip,
        })
    }

    pub fn is_used(&self) -> bool {
        !self.used().is_empty()
    }

    fn used(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut used = self.limit.used();
        match used.get_mut(&self.ip) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(used.remove(&self.ip)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_place_of_others() {
        let limit = Limit::new(512, 128);
        let ip = |last: u8| IpAddr::from([10, 1, 1, last]);
        let mut all = Vec::new();
        let fill = |last, all: &mut Vec<Admitted>| {
            let before = all.len();
            while let Some(admitted) = limit.admit(ip(last)) {
                all.push(admitted);
            }
            all.len() - before
        };
        let each: Vec<usize> = (1..=5).map(|last| fill(last, &mut all)).collect();
        assert_eq!(each, [128, 128, 128, 128, 0]);
        all.pop();
        assert!(limit.admit(ip(5)).is_some());
        all.clear();
        assert!(!limit.is_used());
    }
}
