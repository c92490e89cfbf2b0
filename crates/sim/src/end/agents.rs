//! Whether readers, agents and their kernels know the truth and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tombolo_clustermesh::{
    Ids,
    reader::{self, Phase},
};
use tombolo_kvstore::Keys;
use tombolo_model::{
    World,
    change::Place,
    drive::{Recorder, step},
    event::Event,
    fact::{Address, AddressKey, Fact},
    id::ClusterId,
    record::Resource,
    tables::Tables,
};

use super::Wrong;
use crate::{
    agent::Agent,
    kernel,
    sim::Sim,
    truth::{RESOURCES, Truth},
};

impl Sim {
    /// Each peer is read, and its number and no other is taken.
    pub(super) fn readers_are_right(
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

    /// What an agent knows is the truth of all that it reads.
    pub(super) fn agent_is_right(&self, agent: &Agent) -> Result<(), Wrong> {
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
        let now = self.net.local(agent.id);
        for (peer, remote) in agent.remotes() {
            self.rejects_are_right(agent, peer, &remote.status(now).rejects)?;
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
    pub(super) fn kernel_is_right(&self, agent: &Agent) -> Result<(), Wrong> {
        let Some(kernel) = &agent.kernel else {
            return Ok(());
        };
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
