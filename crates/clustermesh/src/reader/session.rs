//! One connection to a peer, from its config to its records.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use tombolo_kvstore::{Error, Keys};
use tombolo_model::{
    event::Event,
    record::{ClusterConfig, ExportMode, Key, Resource, Tree},
};

use super::{CONFIG_MAX, HEARTBEAT_MAX, Trouble};
use crate::{
    Answer, Random, Ticket,
    follow::{Events, Follow, Outbox},
    request::prefix,
    scope::Scope,
};

#[derive(Debug)]
pub(super) struct Session {
    /// The peer's name.
    cluster: String,
    started: Duration,
    heard: Duration,
    heartbeat: Follow,
    config: Follow,
    config_value: Option<Bytes>,
    config_listed: bool,
    plan: Option<Plan>,
    canaries: Option<Follow>,
    canaries_listed: bool,
    canaries_seen: BTreeSet<Resource>,
    /// Whoever copies the peer hears nothing of it.
    unheard: bool,
    records: BTreeMap<Resource, Records>,
}

#[derive(Debug)]
pub(super) struct Records {
    pub(super) follow: Follow,
    pub(super) synced: bool,
}

/// What is to be read of a peer that is believed.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) cluster: String,
    pub(super) tree: Tree,
    /// Whether the peer tells by canaries what is complete.
    pub(super) canaries: bool,
    pub(super) resources: Vec<Resource>,
    pub(super) scope: Scope,
}

pub(super) enum Learnt {
    Nothing,
    Config(Bytes),
    Records(Resource, Events),
}

/// Whether a peer of this config writes such records at all.
pub(super) fn writes(config: &ClusterConfig, mode: ExportMode, resource: Resource) -> bool {
    match resource {
        Resource::Nodes | Resource::Identities | Resource::Addresses => true,
        Resource::Services => mode != ExportMode::EndpointSlices,
        Resource::EndpointSlices => mode != ExportMode::Services,
        Resource::ServiceExports => config.capabilities.service_exports_enabled == Some(true),
    }
}

impl Session {
    pub(super) fn start(cluster: &str, now: Duration, outbox: &mut Outbox) -> Session {
        let heartbeat = Keys::one(Key::Heartbeat.to_string());
        let config = Key::ClusterConfig {
            cluster: cluster.to_owned(),
        };
        let config = Keys::one(config.to_string());
        let cluster = cluster.to_owned();
        Session {
            cluster,
            started: now,
            heard: now,
            heartbeat: Follow::start(heartbeat, now, outbox),
            config: Follow::start(config, now, outbox),
            config_value: None,
            config_listed: false,
            plan: None,
            canaries: None,
            canaries_listed: false,
            canaries_seen: BTreeSet::new(),
            unheard: false,
            records: BTreeMap::new(),
        }
    }

    pub(super) fn read(&mut self, plan: Plan, now: Duration, outbox: &mut Outbox) {
        if plan.canaries {
            let canaries = format!("cilium/synced/{}/", plan.cluster);
            self.canaries = Some(Follow::start(prefix(&canaries), now, outbox));
        } else {
            self.canaries_listed = true;
            self.canaries_seen = plan.resources.iter().copied().collect();
        }
        self.plan = Some(plan);
        self.settle(now, outbox);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| {
            plan.resources
                .iter()
                .all(|resource| self.is_synced(*resource))
        })
    }

    pub(super) fn is_unheard(&self) -> bool {
        self.unheard
    }

    pub(super) fn is_synced(&self, resource: Resource) -> bool {
        self.records
            .get(&resource)
            .is_some_and(|records| records.synced)
    }

    pub(super) fn resources(&self) -> Option<&[Resource]> {
        self.plan.as_ref().map(|plan| plan.resources.as_slice())
    }

    /// How many records of a kind there are.
    pub(super) fn count(&self, resource: Resource) -> usize {
        self.records
            .get(&resource)
            .map_or(0, |records| records.follow.count)
    }

    /// Of those kinds of which all is known.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Resource, usize)> {
        let synced = self.records.iter().filter(|(_, records)| records.synced);
        synced.map(|(resource, records)| (*resource, records.follow.count))
    }

    pub(super) fn last_heard(&self) -> Duration {
        self.heard
    }

    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        self.follows().any(|follow| follow.awaits(ticket))
    }

    pub(super) fn handle(
        &mut self,
        ticket: Ticket,
        answer: Answer,
        now: Duration,
        random: &mut Random,
        outbox: &mut Outbox,
    ) -> Result<Learnt, Trouble> {
        if self.heartbeat.awaits(ticket) {
            let watched = matches!(answer, Answer::Changes(_));
            self.heartbeat.handle(answer, now, random, outbox)?;
            if watched {
                self.heard = now;
            }
            return Ok(Learnt::Nothing);
        }
        if self.config.awaits(ticket) {
            let events = self.config.handle(answer, now, random, outbox);
            let events = events.map_err(|error| self.config_trouble(error))?;
            return self.note_config(events);
        }
        if let Some(canaries) = &mut self.canaries
            && canaries.awaits(ticket)
        {
            let events = canaries.handle(answer, now, random, outbox)?;
            self.note_canaries(events);
            self.settle(now, outbox);
            return Ok(Learnt::Nothing);
        }
        for (resource, records) in &mut self.records {
            if records.follow.awaits(ticket) {
                let snapshot = matches!(answer, Answer::Page(..));
                let events = records.follow.handle(answer, now, random, outbox)?;
                records.synced |= events.last() == Some(&Event::Synced);
                let events = match &self.plan {
                    Some(plan) => plan.scope.narrow(*resource, snapshot, events),
                    None => events,
                };
                return Ok(match events.is_empty() {
                    true => Learnt::Nothing,
                    false => Learnt::Records(*resource, events),
                });
            }
        }
        Ok(Learnt::Nothing)
    }

    pub(super) fn poll_timeout(&self) -> Duration {
        let asked = self.follows().filter_map(Follow::poll_timeout).min();
        let config = self
            .config_value
            .is_none()
            .then_some(self.started + CONFIG_MAX);
        let silent = self.heard + HEARTBEAT_MAX;
        [asked, config]
            .into_iter()
            .flatten()
            .fold(silent, Duration::min)
    }

    pub(super) fn handle_timeout(
        &mut self,
        now: Duration,
        outbox: &mut Outbox,
    ) -> Result<(), Trouble> {
        if self.config_value.is_none() && now >= self.started + CONFIG_MAX {
            let cluster = self.cluster.clone();
            return Err(Trouble::NoConfig { cluster });
        }
        if now >= self.heard + HEARTBEAT_MAX {
            return Err(Trouble::NoHeartbeat);
        }
        for follow in self.follows_mut() {
            if !follow.handle_timeout(now, outbox) {
                return Err(Trouble::Silent);
            }
        }
        Ok(())
    }

    /// Who may read other keys may read the config of the very cluster whose store it is.
    fn config_trouble(&self, error: Error) -> Trouble {
        match error {
            Error::Denied => Trouble::ConfigDenied {
                cluster: self.cluster.clone(),
            },
            error => error.into(),
        }
    }

    /// What the peer has yet to write before anything can be read.
    pub(super) fn lacks(&self) -> Option<Trouble> {
        if self.config_listed && self.config_value.is_none() {
            let cluster = self.cluster.clone();
            return Some(Trouble::NoConfig { cluster });
        }
        let plan = self.plan.as_ref().filter(|_| self.canaries_listed)?;
        let missing = plan.resources.iter();
        let missing = missing.filter(|resource| !self.canaries_seen.contains(resource));
        let missing: Vec<String> = missing.map(ToString::to_string).collect();
        let some = !missing.is_empty();
        some.then(|| Trouble::Incomplete {
            missing: missing.join(", "),
        })
    }

    fn note_config(&mut self, events: Events) -> Result<Learnt, Trouble> {
        let mut learnt = Learnt::Nothing;
        self.config_listed |= events.last() == Some(&Event::Synced);
        let mut there = self.config_value.is_none() || !events.contains(&Event::Restart);
        for event in events {
            match event {
                Event::Upsert(_, value) => {
                    there = true;
                    match &self.config_value {
                        None => {
                            self.config_value = Some(value.clone());
                            learnt = Learnt::Config(value);
                        }
                        Some(before) if *before != value => return Err(Trouble::ConfigChanged),
                        Some(_) => {}
                    }
                }
                Event::Delete(_) if self.config_value.is_some() => return Err(Trouble::ConfigGone),
                Event::Restart | Event::Delete(_) | Event::Synced => {}
            }
        }
        if there {
            Ok(learnt)
        } else {
            Err(Trouble::ConfigGone)
        }
    }

    fn note_canaries(&mut self, events: Events) {
        for event in events {
            match event {
                Event::Restart => {
                    self.canaries_listed = false;
                    self.canaries_seen.clear();
                    self.unheard = false;
                }
                Event::Upsert(key, _) => {
                    self.canaries_seen.extend(self.canary(&key));
                    self.unheard |= self.tells_unheard(&key);
                }
                Event::Delete(key) => {
                    self.unheard &= !self.tells_unheard(&key);
                    if let Some(resource) = self.canary(&key) {
                        self.canaries_seen.remove(&resource);
                    }
                }
                Event::Synced => self.canaries_listed = true,
            }
        }
    }

    /// The kind that a canary in our tree is about.
    fn canary(&self, key: &[u8]) -> Option<Resource> {
        match std::str::from_utf8(key).ok()?.parse().ok()? {
            Key::Synced { tree, resource, .. }
                if Some(tree) == self.plan.as_ref().map(|plan| plan.tree) =>
            {
                Some(resource)
            }
            _ => None,
        }
    }

    /// Only of a copy somebody else can know that.
    fn tells_unheard(&self, key: &[u8]) -> bool {
        let is_copy = self.plan.as_ref().map(|plan| plan.tree) == Some(Tree::Cache);
        let key = std::str::from_utf8(key).ok().map(str::parse);
        is_copy && matches!(key, Some(Ok(Key::Unheard { .. })))
    }

    /// Reads each kind that is complete, and leaves alone those whose canary has gone: their writer starts over, or is dead.
    fn settle(&mut self, now: Duration, outbox: &mut Outbox) {
        let Some(plan) = &self.plan else { return };
        if !self.canaries_listed {
            return;
        }
        let seen = &self.canaries_seen;
        self.records.retain(|resource, records| {
            let stays = seen.contains(resource);
            if !stays {
                records.follow.end(outbox);
            }
            stays
        });
        for resource in plan
            .resources
            .iter()
            .filter(|resource| seen.contains(*resource))
        {
            let keys = prefix(&resource.prefix(plan.tree, &plan.cluster));
            self.records.entry(*resource).or_insert_with(|| Records {
                follow: Follow::start(keys, now, outbox),
                synced: false,
            });
        }
    }

    fn follows(&self) -> impl Iterator<Item = &Follow> {
        let records = self.records.values().map(|records| &records.follow);
        [&self.heartbeat, &self.config]
            .into_iter()
            .chain(&self.canaries)
            .chain(records)
    }

    fn follows_mut(&mut self) -> impl Iterator<Item = &mut Follow> {
        let records = self.records.values_mut().map(|records| &mut records.follow);
        [&mut self.heartbeat, &mut self.config]
            .into_iter()
            .chain(&mut self.canaries)
            .chain(records)
    }
}
