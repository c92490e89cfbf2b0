//! Everything that a node knows, and what of it the kernel must know.
//!
//! No I/O and no clock: `now` is the time since some start that the caller has chosen.

use crate::{
    change::Change,
    config::{Config, ConfigError},
    endpoint::{self, EndpointRecord, Endpoints},
    event::Event,
    fact::{Address, AddressKey, EndpointFact, Fact, Node, NodeKey, Set, Source},
    health::Silence,
    id::{ClusterId, EndpointId},
    ipcache::Ipcache,
    ledger::{Key, Ledger, Owner},
    local::{Attachment, Endpoint, EndpointPlan, Failure},
    net::{Mac, PodAddresses},
    node::{Context, Nodes, Touched},
    pool::Pool,
    record::Namespaced,
    service::{Check, Definition, Format, Here, Offer, Place, Services, Silent},
    tables::Tables,
};
use ipnet::IpNet;
use sources::Sources;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use wanted::View;

mod health;
mod sources;
#[cfg(test)]
mod tests;
mod view;
mod wanted;

pub struct World {
    config: Config,
    nodes: Nodes,
    ipcache: Ipcache,
    endpoints: Endpoints,
    services: Services,
    ledger: Ledger,
    sources: Sources,
    silence: Silence,
    /// Nodes may be others than they were when it was asked last whom to probe, or other clusters be heard.
    aim_moved: bool,
    places: BTreeMap<(ClusterId, IpAddr), Place>,
}

/// What is said to whoever told the fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    Planned(EndpointPlan),
    Endpoint(Box<Endpoint>),
}

/// What the kernel and its pinned maps hold at start.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    pub tables: Tables,
    /// Only those whose interface is still there.
    pub records: Vec<EndpointRecord>,
}

impl World {
    pub fn new(config: Config) -> Result<World, ConfigError> {
        config.check()?;
        let pools = config
            .pod_ranges
            .iter()
            .map(|range| Pool::new(*range).map_err(ConfigError::RangeTooSmall))
            .collect::<Result<Vec<_>, _>>()?;
        let mut world = World {
            nodes: Nodes::new(),
            ipcache: Ipcache::new(config.cluster_id),
            endpoints: Endpoints::new(pools),
            services: Services::new(Here {
                cluster: config.cluster_id,
                cluster_name: config.cluster.as_str().into(),
                node: config.node.as_str().into(),
                addresses: config.addresses.clone(),
                pod_ranges: config.pod_ranges.clone(),
                zone: config.zone.as_deref().map(Arc::from),
                silent: Silent::default(),
                names: BTreeMap::new(),
                name_service: config.name_service.clone(),
                default_global_namespace: config.default_global_namespace,
                balancing: config.balancing,
            }),
            ledger: Ledger::default(),
            sources: Sources::new(&config),
            silence: Silence::default(),
            aim_moved: true,
            places: BTreeMap::new(),
            config,
        };
        for prefix in world.wanted().own_prefixes() {
            world.ledger.touch(Key::Address(prefix));
        }
        for range in &world.config.pod_ranges {
            world.ledger.touch(Key::Route(range.trunc()));
        }
        Ok(world)
    }

    /// Takes up what an earlier life left behind; to be called before any fact. Returns the endpoints that could not be taken up.
    pub fn recover(&mut self, recovery: Recovery) -> Vec<EndpointRecord> {
        let Recovery { tables, records } = recovery;
        let mut refused = Vec::new();
        for record in records {
            let rules = tables
                .policies
                .get(&record.id)
                .map_or(&[][..], Vec::as_slice);
            if !self.endpoints.restore(record.clone(), rules) {
                refused.push(record);
            }
        }
        for id in tables.endpoints.keys().chain(tables.policies.keys()) {
            self.endpoints.restore_id(*id);
        }
        let referred = tables.addresses.values().filter_map(crate::ledger::slot_of);
        for slot in tables.nodes.keys().copied().chain(referred) {
            self.nodes.restore_slot(slot);
        }
        self.services.recover(&tables);
        self.ledger.recover(tables);
        for id in self.endpoints.ids().collect::<Vec<_>>() {
            let addresses = self
                .endpoints
                .record(id)
                .map_or(PodAddresses::default(), |record| record.addresses);
            self.touch_endpoint(id, addresses);
        }
        self.unspare();
        refused
    }

    /// Compares with what was read from the kernel; differences become changes.
    pub fn audit(&mut self, tables: Tables) {
        self.ledger.take_over(tables);
    }

    pub fn handle(&mut self, fact: Fact, now: Duration) -> Result<Answer, Failure> {
        match fact {
            Fact::Node(source, event) => self.handle_node(source, event),
            Fact::Address(source, event) => self.handle_address(source, event),
            Fact::Malformed {
                source,
                set,
                record,
            } => self.sources.note_malformed(source, set, record),
            Fact::Awaited(clusters) => {
                let named = clusters.iter();
                let named = named.filter_map(|(name, id)| Some(((*id)?, name.as_str())));
                self.services.name_clusters(named);
                self.touch_services();
                self.sources.await_clusters(clusters);
                self.unspare();
                self.believe_news();
            }
            Fact::Stale(cluster, is_stale) => {
                self.sources.note_stale(cluster, is_stale, now);
                self.believe_news();
            }
            Fact::Silent(silence) => {
                self.silence = silence;
                self.fall_silent();
            }
            Fact::Zone(zone) => {
                self.services.locate(zone.map(Arc::from));
                self.touch_services();
            }
            Fact::ChecksRefused(refused) => self.services.refuse_checks(refused),
            Fact::Namespace(event) => self.handle_namespace(event),
            Fact::Service(event) => self.handle_service(event),
            Fact::Slice(source, event) => self.handle_offer(source, Format::Slice, event),
            Fact::Shared(source, event) => self.handle_offer(source, Format::Record, event),
            Fact::Endpoint(fact) => return self.handle_endpoint(fact, now),
        }
        Ok(Answer::Done)
    }

    /// The next change for the kernel. It stays the next until `applied` or `refused` is called with it.
    pub fn poll_change(&mut self) -> Option<Change> {
        let World {
            config,
            nodes,
            ipcache,
            endpoints,
            services,
            ledger,
            ..
        } = self;
        ledger.next(&View {
            config,
            nodes,
            ipcache,
            endpoints,
            services,
            pool: RefCell::default(),
        })
    }

    pub fn applied(&mut self, change: &Change) {
        self.ledger.applied(change);
        match change {
            Change::NodeGone(slot) => self.nodes.settle_slot(*slot, &self.ledger),
            Change::EndpointGone(id) => self.endpoints.settle(*id, self.ledger.holds_endpoint(*id)),
            _ => {}
        }
    }

    pub fn refused(&mut self, change: &Change, now: Duration) {
        self.ledger.refused(change, now);
    }

    /// When `handle_timeout` wants to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.endpoints
            .timeout()
            .into_iter()
            .chain(self.ledger.timeout())
            .min()
    }

    pub fn handle_timeout(&mut self, now: Duration) {
        for id in self.endpoints.expired(now) {
            self.delete_endpoint(id);
        }
        self.ledger.wake(now);
    }

    /// Where balancers ask for which service, by port, and what they are told; nothing if that has not changed since this was
    /// asked last, or is not known yet.
    pub fn take_checks(&mut self) -> Option<BTreeMap<u16, Check>> {
        if !self.sources.knows_services() {
            return None;
        }
        self.services.take_checks()
    }

    /// True when every source has told all it has.
    pub fn synced(&self) -> bool {
        self.sources.synced(&self.config)
    }

    /// True when all but clusters have.
    pub fn synced_but_for_clusters(&self) -> bool {
        self.sources.synced_but_for_clusters(&self.config)
    }

    /// Lets go what was recovered of those who have told all they have.
    fn unspare(&mut self) {
        let awaited = |owner: &Owner| self.sources.await_owner(*owner, &self.config);
        let spared = self.ledger.spared().iter();
        let told: Vec<Owner> = spared.filter(|owner| !awaited(owner)).copied().collect();
        told.into_iter()
            .for_each(|owner| self.ledger.unspare(owner));
        self.settle_services();
    }

    fn handle_service(&mut self, event: Event<Namespaced, Definition>) {
        let generation = self
            .sources
            .follow((Source::Kubernetes, Set::Services), &event);
        let is_whole = event == Event::Synced;
        self.services.handle_definition(generation, event);
        if is_whole {
            self.settle_services();
        }
        self.touch_services();
    }

    fn handle_namespace(&mut self, event: Event<String, Option<bool>>) {
        let generation = self
            .sources
            .follow((Source::Kubernetes, Set::Namespaces), &event);
        let is_whole = event == Event::Synced;
        self.services.handle_namespace(generation, event);
        if is_whole {
            self.settle_services();
        }
        self.touch_services();
    }

    fn handle_offer(&mut self, source: Source, format: Format, event: Event<Namespaced, Offer>) {
        let set = match format {
            Format::Slice => Set::EndpointSlices,
            Format::Record => Set::Services,
        };
        let generation = self.sources.follow((source, set), &event);
        let is_whole = event == Event::Synced;
        self.services
            .handle_offer(source, format, generation, event);
        if is_whole {
            self.settle_services();
        }
        self.touch_services();
    }

    /// Lets go what was kept of the backends of those who have told all theirs.
    fn settle_services(&mut self) {
        if !self.sources.knows_services() {
            return;
        }
        for cluster in self.services.kept_clusters() {
            if !self.sources.awaits_services(cluster) {
                self.services.heard(cluster);
            }
        }
        self.touch_services();
        self.ledger.know_services(self.services.rows());
    }

    fn touch_services(&mut self) {
        for row in self.services.take_touched() {
            self.ledger.touch(row.into());
        }
    }

    fn handle_node(&mut self, source: Source, event: Event<NodeKey, Node>) {
        self.aim_moved = true;
        let generation = self.sources.follow((source, Set::Nodes), &event);
        match event {
            Event::Restart => {}
            Event::Upsert(key, _)
                if key.cluster == self.config.cluster && key.name == self.config.node => {}
            Event::Upsert(key, node) => {
                let context = Context {
                    config: &self.config,
                    ledger: &self.ledger,
                };
                let is_silent = self.silence.nodes.contains_key(&key);
                let touched = self.nodes.upsert(source, generation, key, node, &context);
                self.touch_nodes(touched);
                if is_silent {
                    self.fall_silent();
                }
            }
            Event::Delete(key) => self.delete_node(source, key),
            Event::Synced => {
                for key in self.nodes.unrepeated(source, generation) {
                    self.delete_node(source, key);
                }
                self.unspare();
            }
        }
    }

    fn delete_node(&mut self, source: Source, key: NodeKey) {
        let context = Context {
            config: &self.config,
            ledger: &self.ledger,
        };
        let touched = self.nodes.delete(source, key, &context);
        self.touch_nodes(touched);
    }

    fn handle_address(&mut self, source: Source, event: Event<AddressKey, Address>) {
        self.sources.follow((source, Set::Addresses), &event);
        match event {
            Event::Restart => self.ipcache.restart(source),
            Event::Upsert(mut key, address) => {
                key.prefix = key.prefix.trunc();
                let prefix = key.prefix;
                if self.ipcache.upsert(source, key, address) {
                    self.touch_prefix(prefix);
                }
            }
            Event::Delete(mut key) => {
                key.prefix = key.prefix.trunc();
                if self.ipcache.delete(source, &key) {
                    self.touch_prefix(key.prefix);
                }
            }
            Event::Synced => {
                for prefix in self.ipcache.sweep(source) {
                    self.touch_prefix(prefix);
                }
                self.unspare();
            }
        }
    }

    fn handle_endpoint(&mut self, fact: EndpointFact, now: Duration) -> Result<Answer, Failure> {
        match fact {
            EndpointFact::Reserve {
                attachment,
                netns,
                pod,
                identity,
            } => {
                endpoint::check_names(&attachment, &netns, &pod)?;
                let identity = endpoint::identity(identity, &self.config)?;
                let record = self
                    .endpoints
                    .reserve(attachment, netns, pod, identity, now)?;
                return Ok(Answer::Planned(EndpointPlan {
                    id: record.id,
                    host_interface: record.host_interface.clone(),
                    addresses: record.addresses,
                    gateways: self.config.router(),
                    mtu: self.config.pod_mtu,
                    gateway_mac: Mac::GATEWAY,
                }));
            }
            EndpointFact::Attach {
                attachment,
                ifindex,
                mac,
            } => return self.attach(&attachment, ifindex, mac),
            EndpointFact::Identify {
                attachment,
                identity,
            } => {
                let identity = endpoint::identity(Some(identity), &self.config)?;
                let (id, addresses) = self.endpoints.set_identity(&attachment, identity)?;
                self.touch_endpoint(id, addresses);
            }
            EndpointFact::Delete { attachment } => {
                if let Some(id) = self.endpoints.id_of(&attachment) {
                    self.delete_endpoint(id);
                }
            }
            EndpointFact::Keep { attachments } => {
                let keep: BTreeSet<Attachment> = attachments.into_iter().collect();
                let all = self.endpoints.attachments();
                let gone: Vec<EndpointId> = all
                    .filter(|(attachment, _)| !keep.contains(attachment))
                    .map(|(_, id)| id)
                    .collect();
                gone.into_iter().for_each(|id| self.delete_endpoint(id));
            }
            EndpointFact::Rules { endpoint, entries } => {
                self.endpoints.set_rules(endpoint, entries)?;
                self.ledger.touch_now(Key::Policy(endpoint));
            }
            EndpointFact::InterfaceGone { ifindex } => {
                if let Some(id) = self.endpoints.at_interface(ifindex) {
                    self.delete_endpoint(id);
                }
            }
        }
        Ok(Answer::Done)
    }

    fn attach(
        &mut self,
        attachment: &Attachment,
        ifindex: u32,
        mac: Mac,
    ) -> Result<Answer, Failure> {
        if ifindex == 0 {
            return Err(Failure::bad_request("interface 0 does not exist".into()));
        }
        let id = self.endpoints.attach(attachment, ifindex, mac)?;
        let record = self
            .endpoints
            .record(id)
            .expect("an endpoint that was attached");
        let addresses = record.addresses;
        self.touch_endpoint(id, addresses);
        let view = self
            .endpoints
            .view(id)
            .expect("an endpoint that was attached");
        Ok(Answer::Endpoint(Box::new(view)))
    }

    /// Takes back an attachment that the kernel refused; the reservation stays.
    pub(crate) fn detach(&mut self, id: EndpointId, now: Duration) {
        let addresses = self.endpoints.detach(id, now);
        self.touch_endpoint(id, addresses);
    }

    fn delete_endpoint(&mut self, id: EndpointId) {
        if let Some(addresses) = self.endpoints.delete(id) {
            self.touch_endpoint(id, addresses);
            self.endpoints.settle(id, self.ledger.holds_endpoint(id));
        }
    }

    fn touch_endpoint(&mut self, id: EndpointId, addresses: PodAddresses) {
        self.ledger.touch_now(Key::Policy(id));
        self.ledger.touch_now(Key::Endpoint(id));
        addresses
            .iter()
            .for_each(|address| self.ledger.touch_now(Key::Address(address.into())));
    }

    fn touch_nodes(&mut self, touched: Touched) {
        let Touched {
            slots,
            addresses,
            ranges,
        } = touched;
        slots
            .into_iter()
            .for_each(|slot| self.ledger.touch(Key::Node(slot)));
        for range in ranges {
            self.ledger.touch(Key::Route(range));
            self.touch_prefix(range);
        }
        for address in addresses {
            self.touch_prefix(address.into());
            for prefix in self.ipcache.hosted_by(address).collect::<Vec<_>>() {
                self.touch_prefix(prefix);
            }
        }
    }

    fn touch_prefix(&mut self, prefix: IpNet) {
        self.ledger.touch(Key::Address(prefix));
        let World {
            config,
            nodes,
            ipcache,
            ..
        } = self;
        ipcache.note_refusals(&prefix, |claim| {
            wanted::judge(config, nodes, &prefix, claim).err()
        });
    }

    /// Everything that the kernel should hold.
    pub fn desired(&self) -> Tables {
        self.wanted().tables()
    }

    /// What the kernel holds as far as is known.
    pub fn held(&self) -> &Tables {
        self.ledger.held()
    }

    /// What must outlive the agent of an endpoint.
    pub fn record(&self, id: EndpointId) -> Option<&EndpointRecord> {
        self.endpoints.record(id)
    }

    /// The name that an attachment's host end was planned to have.
    pub fn planned_interface(&self, attachment: &Attachment) -> Option<&str> {
        let record = self.endpoints.record(self.endpoints.id_of(attachment)?)?;
        Some(&record.host_interface)
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    fn wanted(&self) -> View<'_> {
        View {
            config: &self.config,
            nodes: &self.nodes,
            ipcache: &self.ipcache,
            endpoints: &self.endpoints,
            services: &self.services,
            pool: RefCell::default(),
        }
    }
}
