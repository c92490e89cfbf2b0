//! The end of a run: nothing goes wrong any more, and within some minutes everybody must know the truth and nothing
//! else, in agents, kernels and stores.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tombolo_clustermesh::{
    Ids,
    reader::{self, HEARTBEAT_MAX, Phase},
};
use tombolo_kvstore::Keys;
use tombolo_model::{
    World,
    change::Place,
    drive::{Recorder, step},
    event::Event,
    fact::{Address, AddressKey, Fact},
    id::ClusterId,
    record::{Resource, Tree},
    tables::Tables,
};

use crate::{
    agent::Agent,
    fault::Heal,
    kernel::{self, Kernel},
    shape::Kind,
    sim::{Sim, Step},
    truth::{RESOURCES, Truth},
};

/// Time enough for a lock to end, a peer to be drained and the longest pauses between attempts.
const CONVERGENCE_MAX: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A run that has converged may go on for longer than a heartbeat may be late.
const STAY: Duration = Duration::from_secs(130);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Calm {
    pub(crate) since: Duration,
    /// Whether it is looked whether all stays right.
    goes_on: bool,
    /// Nothing may change from when all knew the truth until then.
    stays_until: Option<Duration>,
}

type Wrong = String;

impl Sim {
    pub(crate) fn become_calm(&mut self) {
        self.note(|| "nothing goes wrong any more".to_owned(), [10, 0, 0]);
        loop {
            // A process that stands still can't be helped along: it goes on when it would have.
            let may_end = |heal: &Heal| !matches!(heal, Heal::Thaw(_));
            while let Some((number, heal)) = self.heals.iter().find(|(_, heal)| may_end(heal)) {
                let (number, heal) = (*number, *heal);
                self.heals.remove(&number);
                self.heal(number, heal);
            }
            if !self.mend_numbers() {
                break;
            }
        }
        self.net.spare_answers();
        self.agree_on_peers();
        let thawed = self.net.processes().map(|(_, it)| it.frozen_until);
        let since = thawed.fold(self.net.now, Duration::max);
        self.calm = Some(Calm {
            since,
            goes_on: false,
            stays_until: None,
        });
        self.net.plan(since - self.net.now + LOOK_EVERY, Step::Look);
    }

    /// All programs of a cluster have the same files of peers in the end.
    fn agree_on_peers(&mut self) {
        for cluster in 0..self.shape.clusters {
            let mesh = self.meshes.iter().find(|mesh| mesh.cluster == cluster);
            let Some(wanted) = mesh.map(|mesh| mesh.config.wanted.clone()) else {
                continue;
            };
            let meshes = self.meshes.iter_mut();
            for mesh in meshes.filter(|mesh| mesh.cluster == cluster) {
                mesh.set_wanted(wanted.clone(), &mut self.net);
            }
            let agents = self.agents.iter_mut();
            for agent in agents.filter(|agent| agent.cluster == cluster) {
                let (net, judge) = (&mut self.net, &mut self.judge);
                agent.set_wanted(wanted.clone(), net, judge, &self.truths);
            }
        }
    }

    /// Whether the run has come to its end.
    pub(crate) fn look(&mut self) -> bool {
        let Some(calm) = self.calm else { return false };
        let wrong = self.wrong();
        match (calm.stays_until, wrong) {
            (Some(until), Ok(())) if until <= self.net.now => return true,
            (Some(_), Ok(())) => {}
            (Some(_), Err(wrong)) => self
                .judge
                .fail(format_args!("it was right before: {wrong}")),
            (None, Ok(())) => {
                let goes_on = calm.goes_on || self.net.one_in(8);
                if !goes_on {
                    return true;
                }
                let known = self.net.now >= calm.since + self.echo();
                let stays_until = known.then_some(self.net.now + STAY);
                self.calm = Some(Calm {
                    goes_on,
                    stays_until,
                    ..calm
                });
            }
            (None, Err(wrong)) => {
                if self.net.now >= calm.since + CONVERGENCE_MAX {
                    let seconds = CONVERGENCE_MAX.as_secs();
                    self.judge
                        .fail(format_args!("not even after {seconds} s: {wrong}"));
                }
            }
        }
        self.net.plan(LOOK_EVERY, Step::Look);
        false
    }

    /// How long after its end a fault may still be noticed. A reader whose clock has jumped ahead misses the heartbeats
    /// of that time later, connects anew and is right again; whatever else there is shows at once.
    fn echo(&self) -> Duration {
        match self.shape.has(Kind::Jump) {
            true => HEARTBEAT_MAX,
            false => Duration::ZERO,
        }
    }

    /// The first thing that is not as it should be.
    fn wrong(&self) -> Result<(), Wrong> {
        for agent in &self.agents {
            self.agent_is_right(agent)
                .map_err(|wrong| format!("agent {:?}: {wrong}", agent.id))?;
        }
        for mesh in &self.meshes {
            let who = format!("mesh {:?}", mesh.id);
            self.readers_are_right(
                &mesh.config.wanted,
                mesh.readers()
                    .map(|(peer, reader)| (peer, reader.status(self.net.local(mesh.id)))),
                mesh.ids(),
            )
            .map_err(|wrong| format!("{who}: {wrong}"))?;
        }
        for (index, server) in self.servers.iter().enumerate() {
            self.store_is_right(index)
                .map_err(|wrong| format!("store of {}: {wrong}", server.cluster))?;
            self.writers_are_right(index)?;
        }
        Ok(())
    }

    fn agent_is_right(&self, agent: &Agent) -> Result<(), Wrong> {
        let now = self.net.local(agent.id);
        let statuses = agent
            .remotes()
            .map(|(peer, remote)| (peer, remote.status(now).reader));
        self.readers_are_right(&agent.config.wanted, statuses, agent.ids())?;
        for peer in &agent.config.wanted {
            let truth = &self.truths[*peer];
            for resource in RESOURCES {
                let known = agent.view.all(truth.id, resource);
                let live = truth.live.iter();
                let live = live.filter(|(name, _)| name.resource() == resource);
                let live: BTreeMap<_, _> = live.map(|(name, live)| (name, live.version)).collect();
                if known != live {
                    return Err(format!("{resource} of {peer}: {known:?}, not {live:?}"));
                }
            }
            let known = agent.view.health(truth.id).count();
            let health = truth.health().len();
            if known != health {
                return Err(format!("{known} health endpoints of {peer}, not {health}"));
            }
        }
        let wanted = agent.config.wanted.iter();
        let ids: BTreeSet<_> = wanted.map(|peer| self.truths[*peer].id).collect();
        if let Some(id) = agent.view.ids().find(|id| !ids.contains(id)) {
            return Err(format!("something is left of number {id}"));
        }
        for (peer, remote) in agent.remotes() {
            self.rejects_are_right(agent, peer, &remote.status(now).rejects)?;
        }
        match &agent.kernel {
            Some(kernel) => self.kernel_is_right(agent, kernel),
            None => Ok(()),
        }
    }

    /// Each peer is read, and its number and no other is taken.
    fn readers_are_right(
        &self,
        wanted: &BTreeSet<usize>,
        statuses: impl Iterator<Item = (usize, reader::Status)>,
        ids: &Ids,
    ) -> Result<(), Wrong> {
        let mut read = BTreeSet::new();
        for (peer, status) in statuses {
            read.insert(peer);
            if status.phase != Phase::Ready || status.stale_for.is_some() {
                return Err(format!("{peer} is not ready: {status:?}"));
            }
        }
        if read != *wanted {
            return Err(format!("reads {read:?}, not {wanted:?}"));
        }
        for id in (1..=16).map(ClusterId) {
            let holder = wanted.iter().map(|peer| &self.truths[*peer]);
            let mut holder = holder.filter(|truth| truth.id == id.0);
            let holder = holder.next().map(|truth| truth.name.as_str());
            if ids.holder(id) != holder {
                return Err(format!("{id} is of {:?}, not {holder:?}", ids.holder(id)));
            }
        }
        Ok(())
    }

    /// As many records are refused as are there that no honest cluster writes: in the store that the agent is connected
    /// to, which may be one that stood behind the address before.
    fn rejects_are_right(
        &self,
        agent: &Agent,
        peer: usize,
        rejects: &BTreeMap<Resource, tombolo_clustermesh::remote::Rejects>,
    ) -> Result<(), Wrong> {
        let data = agent.data(peer);
        let server = self.servers.iter().find(|it| Some(it.data) == data);
        let server = server.ok_or_else(|| format!("{peer} is read from no store"))?;
        let tree = agent.config.tree();
        let truth = &self.truths[peer];
        for resource in RESOURCES {
            let prefix = resource.prefix(tree, &truth.name);
            let stands = server.contents(Keys::prefix(prefix)).len();
            let live = truth.live.keys();
            let live = live.filter(|name| name.resource() == resource).count();
            let rejected = rejects.get(&resource).map_or(0, |rejects| rejects.count());
            if stands != live + rejected {
                return Err(format!(
                    "{rejected} {resource} of {peer} are refused, but {stands} stand and {live} are true"
                ));
            }
        }
        Ok(())
    }

    /// The kernel holds what one does that has been told the truth alone.
    fn kernel_is_right(&self, agent: &Agent, kernel: &Kernel) -> Result<(), Wrong> {
        let Some(world) = kernel.world() else {
            return Ok(());
        };
        if !world.synced() {
            return Err("its world is not complete".to_owned());
        }
        let own = &self.truths[agent.cluster];
        let config = kernel::config(own, agent.config.own, false);
        let mut fresh = World::new(config).map_err(|error| error.to_string())?;
        let mut recorder = Recorder::default();
        for peer in &agent.config.wanted {
            for fact in facts(&self.truths[*peer]) {
                step(&mut fresh, &mut recorder, fact, Duration::ZERO);
            }
        }
        let (held, wanted) = (reached(kernel.tables()), reached(&fresh.desired()));
        if held != wanted {
            let more: Vec<_> = held.difference(&wanted).collect();
            let less: Vec<_> = wanted.difference(&held).collect();
            return Err(format!("its kernel has also {more:?}, but not {less:?}"));
        }
        Ok(())
    }

    /// A store holds the truth of its own cluster, and of those whose copier it belongs to.
    fn store_is_right(&self, index: usize) -> Result<(), Wrong> {
        let server = &self.servers[index];
        let own = (server.cluster, Tree::State);
        let mesh = self.meshes.iter().find(|mesh| mesh.server == server.id);
        let copied = mesh.into_iter().flat_map(|mesh| &mesh.config.wanted);
        let copied = copied.map(|peer| (*peer, Tree::Cache));
        for (cluster, tree) in [own].into_iter().chain(copied) {
            let truth = &self.truths[cluster];
            for resource in RESOURCES {
                let prefix = resource.prefix(tree, &truth.name);
                let mut stands = server.contents(Keys::prefix(prefix));
                let live = truth.live.iter();
                for (name, live) in live.filter(|(name, _)| name.resource() == resource) {
                    let value = stands.remove(&truth.key(tree, name));
                    if value.as_ref() != Some(&live.value) {
                        return Err(format!("{tree:?}: {name} of {cluster} is {value:?}"));
                    }
                }
                let junk = &self.judge.junk;
                let honest = stands.keys().find(|key| match truth.name_at(key) {
                    Some((_, name)) => !junk.contains(&truth.key(Tree::State, &name)),
                    None => !junk.contains(*key),
                });
                if let Some(key) = honest {
                    return Err(format!("{key:?} of {cluster} is left"));
                }
            }
        }
        Ok(())
    }

    /// Of each kind of writer one writes, and has nothing left to write.
    fn writers_are_right(&self, index: usize) -> Result<(), Wrong> {
        let server = &self.servers[index];
        let exporters = self.exporters.iter().filter(|it| it.server == server.id);
        let meshes = self.meshes.iter().filter(|it| it.server == server.id);
        let exporters: Vec<_> = exporters.map(|it| it.status()).collect();
        let meshes: Vec<_> = meshes.map(|it| it.core().status()).collect();
        for (kind, statuses) in [("exporters", exporters), ("meshes", meshes)] {
            let leading: Vec<_> = statuses.iter().filter(|status| status.leads).collect();
            let [leader] = leading.as_slice() else {
                return Err(format!("{} of {kind} of {index} lead", leading.len()));
            };
            if leader.pending > 0 || !leader.refused.is_empty() || leader.trouble.is_some() {
                return Err(format!("{kind} of {index}: {leader:?}"));
            }
            // Of each kind one lease, and what is left of those before.
            if leader.leases > 4 {
                return Err(format!("{kind} of {index} have {} leases", leader.leases));
            }
        }
        let readers = self.shape.clusters * (2 + self.agents.len()) * self.meshes.len();
        let watches = server.watches();
        if watches > readers * 7 {
            return Err(format!("{watches} watches on store {index}"));
        }
        Ok(())
    }
}

/// The truth as it would be told at once.
fn facts(truth: &Truth) -> Vec<Fact> {
    let peer = truth.peer();
    let source = peer.source();
    let mut facts = vec![
        Fact::Node(source, Event::Restart),
        Fact::Address(source, Event::Restart),
    ];
    let live = truth.live.values();
    facts.extend(live.filter_map(|live| peer.upsert(&live.record)));
    let owner = truth.name.clone();
    facts.extend(truth.health().into_iter().map(|(prefix, address)| {
        let owner = owner.clone();
        let (key, value): (AddressKey, Address) = (AddressKey { prefix, owner }, address);
        Fact::Address(source, Event::Upsert(key, value))
    }));
    facts.push(Fact::Node(source, Event::Synced));
    facts.push(Fact::Address(source, Event::Synced));
    facts
}

/// What a kernel holds, without the numbers that it has for nodes.
fn reached(tables: &Tables) -> BTreeSet<String> {
    let node = |slot| {
        tables
            .nodes
            .get(&slot)
            .map(|path| (path.address, path.cluster))
    };
    let addresses = tables.addresses.iter().map(|(prefix, reach)| {
        let place = match reach.place {
            Place::Remote(slot) => format!("at {:?}", node(slot)),
            place => format!("{place:?}"),
        };
        format!("{prefix} is {} {place}", reach.identity.0)
    });
    let nodes = tables.nodes.values().map(|path| format!("node {path:?}"));
    let routes = tables.routes.iter().map(|route| format!("route {route}"));
    addresses.chain(nodes).chain(routes).collect()
}
