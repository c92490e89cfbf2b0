//! What processes hold of eBPF, and whether it outlives them.

use super::wait_until;
use std::{collections::BTreeSet, fs, time::Duration};
use tombolo_linux::bpf::{self, Kind};

/// The kernel frees what nobody holds a while later.
const PATIENCE: Duration = Duration::from_secs(30);

/// Programs, maps and links. Their numbers are never given again.
#[derive(Debug)]
pub struct Held(BTreeSet<(Kind, u32)>);

impl Held {
    /// What these processes have open, and the links that hold their programs in place.
    pub fn by(pids: &[u32]) -> Held {
        let open = pids.iter().flat_map(|pid| open_of(*pid));
        let mut held: BTreeSet<(Kind, u32)> = open.collect();
        let links = bpf::objects(Kind::Link).unwrap();
        let ours = links
            .iter()
            .filter(|link| held.contains(&(Kind::Program, link.program)));
        let ours: Vec<_> = ours.map(|link| (Kind::Link, link.id)).collect();
        held.extend(ours);
        Held(held)
    }

    pub fn count(&self, kind: Kind) -> usize {
        self.0.iter().filter(|(of, _)| *of == kind).count()
    }

    pub fn remaining(&self) -> Vec<(Kind, u32)> {
        let all = [Kind::Program, Kind::Map, Kind::Link];
        let there = all.into_iter().flat_map(|kind| {
            let objects = bpf::objects(kind).unwrap();
            objects.into_iter().map(move |object| (kind, object.id))
        });
        there.filter(|object| self.0.contains(object)).collect()
    }

    pub fn wait_until_gone(&self) {
        wait_until("the end of programs, maps and links", PATIENCE, || {
            self.remaining().is_empty()
        });
    }
}

/// The kernel tells the number of what a descriptor stands for.
fn open_of(pid: u32) -> Vec<(Kind, u32)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
        return Vec::new();
    };
    let texts = entries
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts
        .filter_map(|text| text.lines().find_map(number))
        .collect()
}

fn number(line: &str) -> Option<(Kind, u32)> {
    let (key, value) = line.split_once(':')?;
    let kind = match key {
        // A link tells its program's number too, after its own.
        "link_id" => Kind::Link,
        "prog_id" => Kind::Program,
        "map_id" => Kind::Map,
        _ => return None,
    };
    Some((kind, value.trim().parse().ok()?))
}
