//! An exporter's process: the production code's export, and what watches its cluster for it.
//!
//! What it watches tells in order, late, and after a start all that there is, in pieces.

use std::{collections::VecDeque, time::Duration};

use tombolo_clustermesh::{
    Random,
    export::{Export, Lock},
};
use tombolo_model::{
    event::Event,
    record::{Capabilities, ClusterConfig, Name, Record, Resource},
};

use crate::{
    net::{ConnId, Letter, Net},
    planted::Planted,
    process::{ITSELF, ProcessId, WRITER},
    truth::{RESOURCES, Told, Truth, Version},
    view::View,
    writing::Writing,
};

/// What watches a cluster is behind it by less.
const LATENCY: Duration = Duration::from_millis(50);

type Source = VecDeque<(Duration, Resource, Event<Name, (Version, Record)>)>;

#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) id: ProcessId,
    pub(crate) cluster: usize,
    pub(crate) server: ProcessId,
    pub(crate) view: View,
    /// How much later than usual it is told of changes.
    pub(crate) lateness: Duration,
    core: Export,
    writing: Writing,
    source: Source,
    alarm: Option<Duration>,
}

impl Exporter {
    pub(crate) fn new(id: ProcessId, cluster: usize, server: ProcessId, truth: &Truth) -> Exporter {
        let end = crate::process::End {
            process: id,
            life: 0,
            part: WRITER,
        };
        Exporter {
            id,
            cluster,
            server,
            view: View::default(),
            lateness: Duration::ZERO,
            core: export(id, truth, 0),
            writing: Writing::new(end, server, None),
            source: Source::new(),
            alarm: None,
        }
    }

    /// Its process has started.
    pub(crate) fn start<P>(
        &mut self,
        net: &mut Net<P>,
        truth: &Truth,
        time: Duration,
        planted: Option<Planted>,
    ) {
        let seed = net.random.below(u64::MAX);
        self.core = export(self.id, truth, seed);
        self.writing = Writing::new(net.end(self.id, WRITER), self.server, planted);
        self.view = View::default();
        self.source.clear();
        self.alarm = None;
        self.tell_all(net, truth, time);
        self.pump(net);
    }

    /// All that is true now, kind by kind and in pieces, before whatever happens from now on.
    pub(crate) fn tell_all<P>(&mut self, net: &mut Net<P>, truth: &Truth, time: Duration) {
        let mut kinds = RESOURCES.to_vec();
        let first = net.random.below(kinds.len() as u64) as usize;
        kinds.rotate_left(first);
        let step = time / (truth.live.len() as u32 + 1);
        let mut at = self.next_at(net);
        for resource in kinds {
            self.source.push_back((at, resource, Event::Restart));
            let of_kind = truth.live.iter();
            for (name, live) in of_kind.filter(|(name, _)| name.resource() == resource) {
                let event = Event::Upsert(name.clone(), (live.version, live.record.clone()));
                self.source.push_back((at, resource, event));
                at += net.up_to(step * 2);
            }
            self.source.push_back((at, resource, Event::Synced));
        }
        self.set_alarm(net);
    }

    pub(crate) fn tell<P>(&mut self, net: &mut Net<P>, told: &[Told]) {
        let at = self.next_at(net);
        for Told { name, record } in told {
            let event = match record {
                Some(record) => Event::Upsert(name.clone(), record.clone()),
                None => Event::Delete(name.clone()),
            };
            self.source.push_back((at, name.resource(), event));
        }
        self.set_alarm(net);
    }

    /// What it watches is late no more, and tells at once what it has kept back.
    pub(crate) fn hasten<P>(&mut self, net: &mut Net<P>) {
        self.lateness = Duration::ZERO;
        let soon = net.now + net.up_to(LATENCY);
        for (at, ..) in &mut self.source {
            *at = soon.min(*at);
        }
        if net.process(self.id).is_up {
            self.set_alarm(net);
        }
    }

    fn next_at<P>(&self, net: &mut Net<P>) -> Duration {
        let at = net.now + net.up_to(LATENCY) + self.lateness;
        self.source.back().map_or(at, |(last, ..)| at.max(*last))
    }

    fn set_alarm<P>(&mut self, net: &mut Net<P>) {
        if let Some((at, ..)) = self.source.front() {
            let local = net.process(self.id).local(*at);
            net.wake(net.end(self.id, ITSELF), local, &mut self.alarm);
        }
    }

    pub(crate) fn woken<P>(&mut self, part: u8, net: &mut Net<P>) {
        if part == WRITER {
            self.writing.woken(&mut self.core, net);
        }
        while let Some((_, resource, event)) = self.source.pop_front_if(|(at, ..)| *at <= net.now) {
            let (event, told) = match event {
                Event::Restart => (Event::Restart, Event::Restart),
                Event::Synced => (Event::Synced, Event::Synced),
                Event::Delete(name) => (Event::Delete(name.clone()), Event::Delete(name)),
                Event::Upsert(name, (version, record)) => (
                    Event::Upsert(name.clone(), record),
                    Event::Upsert(name, Some(version)),
                ),
            };
            self.view.take(0, resource, told, &mut Vec::new());
            self.core.handle(resource, event);
        }
        self.set_alarm(net);
        self.pump(net);
    }

    pub(crate) fn receive<P>(&mut self, conn: ConnId, letter: Letter, net: &mut Net<P>) {
        self.writing.receive(conn, letter, &mut self.core, net);
        self.pump(net);
    }

    fn pump<P>(&mut self, net: &mut Net<P>) {
        if self.writing.pump(&mut self.core, net) {
            self.view.note_ask();
        }
    }

    pub(crate) fn clock_jumped<P>(&mut self, net: &mut Net<P>) {
        self.writing.set_alarm(&self.core, net);
    }

    pub(crate) fn status(&self) -> tombolo_clustermesh::writer::Status {
        self.core.status()
    }
}

fn export(id: ProcessId, truth: &Truth, seed: u64) -> Export {
    let config = ClusterConfig {
        id: u32::from(truth.id),
        capabilities: Capabilities {
            max_connected_clusters: 255,
            ..Capabilities::default()
        },
        ..ClusterConfig::default()
    };
    Export::new(&truth.name, config, &RESOURCES, lock(id), Random::new(seed))
}

pub(crate) fn lock(id: ProcessId) -> Lock {
    Lock {
        holder: format!("process {}", id.0).into(),
        epoch: 1_790_000_000,
    }
}
