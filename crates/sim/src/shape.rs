//! What a seed decides before anything happens: how large the mesh is, how fast, and which faults it will see.
//!
//! Each seed has some of the faults only: all at once would hide what two of them do together.

use std::time::Duration;

use tombolo_clustermesh::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Two clusters don't reach each other, or one of them does not reach the other.
    Cut,
    /// A process and a store of its own cluster don't.
    CutAtHome,
    Slow,
    /// A connection ends amid whatever is under way.
    Reset,
    /// A request is executed and its answer lost.
    LostAnswer,
    /// A connection ends, and what a writer last asked on it is executed long after.
    LateRequest,
    /// A store tells its watches late.
    LateWatches,
    Compact,
    /// A store loses everything and begins as another etcd cluster.
    Wipe,
    /// A store is away for a while and comes back with what it had.
    Restart,
    /// Another store answers at the same address.
    Switch,
    KillAgent,
    KillExporter,
    KillMesh,
    /// A process stops for a while, with or without its clock.
    Freeze,
    /// A process's clock jumps ahead.
    Jump,
    RemovePeer,
    ChangeId,
    ExchangeIds,
    DuplicateId,
    /// Records that no honest cluster writes.
    Junk,
    /// What watches a cluster for its exporter is late, or starts over.
    LateSource,
}

const KINDS: [Kind; 22] = [
    Kind::Cut,
    Kind::CutAtHome,
    Kind::Slow,
    Kind::Reset,
    Kind::LostAnswer,
    Kind::LateRequest,
    Kind::LateWatches,
    Kind::Compact,
    Kind::Wipe,
    Kind::Restart,
    Kind::Switch,
    Kind::KillAgent,
    Kind::KillExporter,
    Kind::KillMesh,
    Kind::Freeze,
    Kind::Jump,
    Kind::RemovePeer,
    Kind::ChangeId,
    Kind::ExchangeIds,
    Kind::DuplicateId,
    Kind::Junk,
    Kind::LateSource,
];

#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) clusters: usize,
    /// Stores of a cluster behind its address, each with an exporter and a copier.
    pub(crate) replicas: usize,
    /// Exporters and copiers that share one store and one lock.
    pub(crate) exporters: usize,
    pub(crate) meshes: usize,
    /// Agents of a cluster: those that read their own store and those that read the peers.
    pub(crate) agents: [usize; 2],
    pub(crate) page: usize,
    pub(crate) pods: u64,
    pub(crate) latency: [Duration; 2],
    pub(crate) history_age: Duration,
    /// How long faults and changes go on.
    pub(crate) chaos: Duration,
    pub(crate) faults: Vec<Kind>,
    pub(crate) fault_every: Duration,
    pub(crate) change_every: Duration,
    /// Whether clients say that they are connected before they are.
    pub(crate) connects_late: bool,
    /// How long a source takes to tell all that there is.
    pub(crate) source_time: Duration,
}

impl Shape {
    pub(crate) fn new(random: &mut Random) -> Shape {
        let mut chance = |many: u64| random.below(many) == 0;
        let large = chance(8);
        let clusters = if large { 4 } else { 2 + usize::from(chance(2)) };
        let replicas = 1 + usize::from(chance(6));
        let exporters = 1 + usize::from(chance(4));
        let meshes = 1 + usize::from(chance(5));
        let direct = usize::from(chance(3));
        let in_mesh = 1 + usize::from(chance(4));
        let mut faults: Vec<_> = KINDS.into_iter().filter(|_| chance(5)).collect();
        if replicas == 1 {
            faults.retain(|kind| *kind != Kind::Switch);
        }
        if faults.is_empty() {
            faults.push(Kind::Cut);
        }
        let mut seconds = |from: u64, to: u64| {
            Duration::from_millis(from * 1000 + random.below((to - from) * 1000))
        };
        let chaos = seconds(60, 420);
        let (fault_every, change_every) = (seconds(5, 60), seconds(2, 20));
        let history_age = seconds(20, 600);
        let source_time = seconds(0, 10);
        Shape {
            clusters,
            replicas,
            exporters,
            meshes,
            agents: [in_mesh, direct],
            page: 2 + random.below(5) as usize,
            pods: 3 + random.below(8),
            latency: [
                Duration::from_micros(200),
                Duration::from_millis(1 + random.below(40)),
            ],
            history_age,
            chaos,
            faults,
            fault_every,
            change_every,
            connects_late: random.below(2) == 0,
            source_time,
        }
    }

    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.faults.contains(&kind)
    }

    /// Whether leases may run out in an order that readers can't take for their writer's end.
    pub(crate) fn upsets_leases(&self) -> bool {
        self.has(Kind::Freeze) || self.has(Kind::Jump)
    }

    /// Whether nothing in this run may tell an agent of a past that it had left: no other store ever stands in for one that
    /// knew more.
    pub(crate) fn is_monotone(&self) -> bool {
        self.replicas == 1
    }
}
