//! A world of the production code and a kernel that is memory; it outlives its agent's process.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use ipnet::IpNet;
use tombolo_clustermesh::Ids;
use tombolo_model::{
    World,
    change::{Change, Place, Reach},
    config::Config,
    drive::{Recorder, step, wake},
    fact::Fact,
    id::{ClusterId, Identity},
    net::RoutingMode,
    record::{AddressName, Name, Resource},
    tables::Tables,
    world::Recovery,
};

use crate::{judge::Judge, truth::Truth, view::View};

#[derive(Default)]
pub(crate) struct Kernel {
    world: Option<World>,
    recorder: Recorder,
    /// Addresses of pods that packets reach, with the identity that they have.
    reached: BTreeMap<IpNet, Identity>,
}

/// What an agent knows when it tells its kernel.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) wanted: &'a BTreeSet<usize>,
    pub(crate) view: &'a View,
    pub(crate) ids: &'a Ids,
    pub(crate) truths: &'a [Truth],
}

impl Kernel {
    pub(crate) fn start(&mut self, own: &Truth, id: u16, now: Duration) {
        let mut world = World::new(config(own, id, true)).expect("a good configuration");
        let recovery = Recovery {
            tables: self.recorder.tables.clone(),
            records: Vec::new(),
        };
        world.recover(recovery);
        wake(&mut world, &mut self.recorder, now);
        self.recorder.log.clear();
        self.world = Some(world);
    }

    /// What its agent has been told at once; the view has it already.
    pub(crate) fn take(
        &mut self,
        facts: impl IntoIterator<Item = Fact>,
        now: Duration,
        known: Known,
        judge: &mut Judge,
    ) {
        let Some(world) = &mut self.world else {
            return;
        };
        for fact in facts {
            step(world, &mut self.recorder, fact, now);
        }
        let mut lost = BTreeMap::new();
        for change in self.recorder.log.drain(..) {
            let (prefix, reach) = match change {
                Change::AddressSet(prefix, reach) => (prefix, Some(reach)),
                Change::AddressGone(prefix) => (prefix, None),
                _ => continue,
            };
            let reaches = |reach: &Reach| {
                matches!(reach.place, Place::Remote(_)) && !reach.identity.is_reserved()
            };
            match reach.filter(reaches) {
                Some(reach) => {
                    self.reached.insert(prefix, reach.identity);
                    lost.remove(&prefix);
                }
                None => {
                    lost.extend(
                        self.reached
                            .remove(&prefix)
                            .map(|identity| (prefix, identity)),
                    );
                }
            }
        }
        let synced = world.synced();
        let own = world.config().cluster_id.0;
        for lost in lost {
            judge_loss(lost, synced, own, known, judge);
        }
    }

    pub(crate) fn world(&self) -> Option<&World> {
        self.world.as_ref()
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.recorder.tables
    }
}

/// Packets to a pod are not delivered any more: it must be gone, or its node.
fn judge_loss(
    (prefix, identity): (IpNet, Identity),
    synced: bool,
    own: u16,
    known: Known,
    judge: &mut Judge,
) {
    let Known {
        wanted,
        view,
        ids,
        truths,
    } = known;
    let id = (identity.0 >> 16) as u16;
    let name = Name::Address(AddressName {
        ip: prefix.addr(),
        length: None,
    });
    let version = u64::from(identity.0 & 0xffff).saturating_sub(1000);
    let place = |truth: &Truth| truth.place_at(&name, version, id);
    let mut of = truths
        .iter()
        .filter_map(|truth| Some((truth, place(truth)?)));
    let (of, other) = (of.next(), of.next());
    if other.is_some() {
        // Two clusters have had this number, and the address.
        return;
    }
    let Some((truth, place)) = of else {
        return judge.fail(format_args!("{prefix} was reached as {identity} of nobody"));
    };
    // Of two peers that claim one number the first is believed: all of the number is its own, as far as anybody here can
    // tell, and the other is refused until they differ. A copy that is behind may claim a number that another has by now.
    let holder = ids.holder(ClusterId(id));
    let taken = holder.is_some_and(|holder| holder != truth.name);
    let nodes = view.all(id, Resource::Nodes);
    let now_at = view
        .get(id, &name)
        .map(|now| truth.place_at(&name, now, id));
    let hosted = |(node, at): (&Name, u64)| now_at == Some(truth.place_at(node, at, id));
    // The claim of a greater source counts, even if it can't be reached yet.
    let claimed = view
        .ids()
        .any(|other| other > id && view.get(other, &name).is_some());
    let reachable = !claimed && !taken && nodes.into_iter().any(hosted);
    judge.check(!reachable, || {
        format!(
            "{prefix} of {} is known and not reached any more",
            truth.name
        )
    });
    let ended = truth.has_ended(&name, version) || !truth.has_node_at(place);
    // Its cluster has told of another version of it, and perhaps not yet of that one's node.
    let replaced = view.get(id, &name).is_some_and(|now| now > version);
    // Under our own number nobody else is waited for.
    let excused = id == own
        || claimed
        || replaced
        || taken
        || !wanted.contains(&truth.cluster)
        || judge.has_seen_leases_end();
    let early = judge.monotone && !synced && !ended && !excused;
    judge.check(!early, || {
        format!(
            "{prefix} of {} was taken from the kernel too early",
            truth.name
        )
    });
}

/// The node of the agent, apart from those that its cluster tells of.
pub(crate) fn config(own: &Truth, id: u16, reads_clusters: bool) -> Config {
    let octet = own.cluster + 1;
    let parse = "an address of ours";
    Config {
        cluster: own.name.clone(),
        cluster_id: ClusterId(id),
        clusters_max: 255,
        node: "agent".to_owned(),
        addresses: vec![format!("192.168.{octet}.200").parse().expect(parse)],
        pod_ranges: vec![format!("10.{octet}.200.0/24").parse().expect(parse)],
        routing: RoutingMode::Tunnel,
        prefer_ipv6: false,
        pod_mtu: 1450,
        sources: Vec::new(),
        reads_clusters,
        zone: None,
        default_global_namespace: true,
        name_service: None,
        balancing: Default::default(),
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}
