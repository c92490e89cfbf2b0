//! The node's data path as a whole: opened, changed and looked at here.

use crate::{
    Dead, Error, Events, LedSockets, NameSockets, WatchHandle, bpf, host,
    links::{self, Stand},
    maps::{self, Addresses, Counts, Endpoints, Monitor, Nodes, Policies, Records, Services},
    paths::Paths,
    programs::{
        self, AT_SOCKETS, FROM_CONTAINER, FROM_HOST, FROM_OVERLAY, FROM_UPLINK, OUTSIDE,
        OUTSIDE_OVERLAY, TO_UPLINK,
    },
};
use aya::{Ebpf, maps::MapData};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io, mem,
    net::IpAddr,
    os::fd::AsFd,
    path::{Path, PathBuf},
};
use tombolo_abi::{ABI_VERSION, Drop, Settings, counter};
use tombolo_linux::{cgroup, mount, netlink::Netlink, netns};
use tombolo_model::{
    change::{Change, EndpointPath, NodePath, PolicyEntry, Reach},
    id::{ClusterId, EndpointId, NodeSlot},
    local::TableUse,
    net::{PodAddresses, RoutingMode},
    service::{Backend, BackendPath, Frontend, FrontendPath},
};

/// What the node is told once, when the data path is opened.
#[derive(Clone, Debug)]
pub struct Config {
    /// A folder on a bpf file system that is ours alone.
    pub pins: PathBuf,
    /// Devices that packets from other nodes come in by.
    pub uplinks: Vec<String>,
    /// The node's underlay addresses, at most one of each family.
    pub node_addresses: Vec<IpAddr>,
    /// The node's address among pods, which is their gateway.
    pub router: PodAddresses,
    pub pod_ranges: Vec<IpNet>,
    pub routing: RoutingMode,
    pub cluster: ClusterId,
    /// 16 with 255 clusters, 15 with 511.
    pub identity_shift: u8,
    pub pod_mtu: u32,
    pub masquerade: bool,
    /// How many flows the node remembers; counts when the table is made.
    pub flows_max: u32,
    /// How many backends services may have here, each counted as often as there are ports and services that it is of; counts
    /// when the tables are made.
    pub backends_max: u32,
    /// The control group whose processes are led to services: the node's own, with all its pods below. None are if it is absent.
    pub cgroup: Option<PathBuf>,
}

/// The loaded programs and the maps. Letting go of it leaves all of them in the kernel, at work.
pub struct Datapath {
    config: Config,
    settings: Settings,
    netlink: Netlink,
    devices: host::Devices,
    ebpf: Ebpf,
    addresses: Addresses,
    endpoints: Endpoints,
    nodes: Nodes,
    policies: Policies,
    records: Records,
    services: Services,
    counts: Counts,
    monitor: Monitor,
    flows: MapData,
    paths: Paths,
    /// Whether programs stand where packets leave by the uplinks, for answers of the node's own processes.
    is_led_to: bool,
    /// What the kernel can't do that the node was told to.
    lacks: Vec<String>,
    dead: BTreeSet<Dead>,
}

/// What the pinned maps hold when the data path is opened.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    pub endpoints: Vec<(EndpointId, EndpointPath)>,
    pub records: Vec<(EndpointId, Vec<u8>)>,
    pub nodes: Vec<(NodeSlot, NodePath)>,
    pub addresses: Vec<(IpNet, Reach)>,
    pub policies: Vec<(EndpointId, Vec<PolicyEntry>)>,
    pub frontends: Vec<(Frontend, FrontendPath)>,
    pub backends: Vec<(Frontend, Backend, BackendPath)>,
    /// What each table is made of, by its digest.
    pub maglev: Vec<(Frontend, u64)>,
}

#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Packets and bytes by reason; zeros left out.
    pub drops: BTreeMap<String, (u64, u64)>,
    pub events_lost: u64,
    /// Packets that the flow table had no answer for.
    pub slow_path: u64,
    /// Flows judged anew since something changed.
    pub rejudged: u64,
    pub fallback_sent: u64,
    pub fallback_received: u64,
    pub path_mtu_learnt: u64,
}

impl Datapath {
    /// Makes devices, takes over or makes the maps, loads the programs and puts each in place of its predecessor.
    pub fn open(mut config: Config) -> Result<Datapath, Error> {
        let netlink = Netlink::open()?;
        for name in &config.uplinks {
            if netlink.link(name)?.is_none() {
                return Err(Error::NoDevice { name: name.clone() });
            }
        }
        // Asked of what is there, before anything is made.
        let there = config.pins.ancestors().find(|path| path.exists());
        if !there.is_some_and(mount::is_bpffs) {
            return Err(Error::NotBpffs {
                path: config.pins.clone(),
            });
        }
        let lack = config.cgroup.take().and_then(|path| {
            config.cgroup = unified(&path);
            config.cgroup.is_none().then(|| no_group(&path))
        });
        let folder = maps_folder(&config.pins);
        for path in [&folder, &links_folder(&config.pins)] {
            fs::create_dir_all(path).map_err(|source| Error::Folder {
                path: path.clone(),
                source,
            })?;
        }
        let devices = host::prepare(&netlink, &config)?;
        let settings = programs::settings(&config, devices.vxlan, netns::own_cookie()?);
        let mut ebpf = programs::load(&folder, &settings, &config)?;
        let mut datapath = Datapath {
            addresses: Addresses::take(&mut ebpf)?,
            endpoints: Endpoints::take(&mut ebpf)?,
            nodes: Nodes::take(&mut ebpf)?,
            policies: Policies::take(&mut ebpf)?,
            records: Records::open(&config.pins)?,
            services: Services::take(&mut ebpf)?,
            counts: Counts::take(&mut ebpf)?,
            monitor: Monitor::take(&mut ebpf)?,
            flows: MapData::from_pin(folder.join("FLOWS"))
                .map_err(Error::map("FLOWS", "opening"))?,
            paths: Paths::new(config.node_addresses.clone())?,
            config,
            settings,
            netlink,
            devices,
            ebpf,
            is_led_to: false,
            lacks: Vec::new(),
            dead: BTreeSet::new(),
        };
        datapath.monitor.tell_allowed(false)?;
        datapath.is_led_to = datapath.leads_to_node();
        datapath.attach_all()?;
        datapath.lacks = host::open(&datapath.netlink, &datapath.config)?;
        datapath.lacks.extend(lack);
        remove_other_versions(&datapath.config.pins)?;
        Ok(datapath)
    }

    /// As it was found.
    fn leads_to_node(&self) -> bool {
        let Config {
            pins,
            uplinks,
            node_addresses,
            ..
        } = &self.config;
        let mut leaving = uplinks.iter().map(|name| leaving_pin(pins, name));
        leaving.any(|pin| pin.exists()) || self.services.open_to_any(node_addresses)
    }

    /// Puts this object's programs at all devices: the node's own first, then those of pods.
    fn attach_all(&mut self) -> Result<(), Error> {
        let folder = links_folder(&self.config.pins);
        let mut wanted = vec![
            (FROM_HOST, host::NET.to_owned(), folder.join("net")),
            (FROM_OVERLAY, host::VXLAN.to_owned(), folder.join("vxlan")),
        ];
        let mut behind = vec![(
            OUTSIDE_OVERLAY,
            host::VXLAN.to_owned(),
            folder.join("outside-vxlan"),
        )];
        for name in &self.config.uplinks {
            wanted.push((
                FROM_UPLINK,
                name.clone(),
                folder.join(format!("uplink-{name}")),
            ));
            behind.push((
                OUTSIDE,
                name.clone(),
                folder.join(format!("outside-{name}")),
            ));
        }
        for (id, endpoint) in self.endpoints.all()? {
            // A pod's device that is gone is the agent's to clean up.
            if let Some(link) = self.netlink.link_by_index(endpoint.ifindex)? {
                wanted.push((
                    FROM_CONTAINER,
                    link.name,
                    endpoint_pin(&self.config.pins, id),
                ));
            }
        }
        for (program, device, pin) in &wanted {
            links::attach(&mut self.ebpf, program, device, Stand::First, pin)?;
        }
        // Nobody is led to a process of the node before its answers are seen to.
        if self.is_led_to {
            self.attach_to_leaving()?;
        }
        for (program, device, pin) in &behind {
            links::attach(&mut self.ebpf, program, device, Stand::Last, pin)?;
        }
        self.attach_to_sockets(&folder)
    }

    fn attach_to_leaving(&mut self) -> Result<(), Error> {
        for name in &self.config.uplinks {
            let pin = leaving_pin(&self.config.pins, name);
            links::attach(&mut self.ebpf, TO_UPLINK, name, Stand::Leaving, &pin)?;
        }
        Ok(())
    }

    /// Looks at what leaves by the uplinks if the change leads from outside to a process of the node; from then on for as long as
    /// the node runs, since connections outlive what has led them.
    fn foresee(&mut self, change: &Change) -> Result<(), Error> {
        let own = &self.config.node_addresses;
        let leads = match change {
            Change::FrontendSet(_, path) => path
                .outside
                .is_some_and(|pool| self.services.is_at_any(pool, own)),
            Change::BackendSet(pool, backend, _) => {
                own.contains(&backend.ip) && self.services.is_open(*pool)
            }
            _ => false,
        };
        if leads && !self.is_led_to {
            self.attach_to_leaving()?;
            self.is_led_to = true;
        }
        Ok(())
    }

    fn attach_to_sockets(&mut self, folder: &Path) -> Result<(), Error> {
        for program in AT_SOCKETS {
            let pin = folder.join(program);
            match &self.config.cgroup {
                Some(group) => links::attach_to_group(&mut self.ebpf, program, group, &pin)?,
                None => links::remove(&pin)?,
            }
        }
        Ok(())
    }

    /// Loads the programs anew and puts each in place of the running one.
    pub fn replace_programs(&mut self) -> Result<(), Error> {
        let folder = maps_folder(&self.config.pins);
        self.ebpf = programs::load(&folder, &self.settings, &self.config)?;
        self.attach_all()
    }

    pub fn recovered(&self) -> Result<Recovered, Error> {
        let endpoints = self.endpoints.all()?;
        let policy = |(id, _): &(EndpointId, EndpointPath)| Ok((*id, self.policies.get(*id)?));
        Ok(Recovered {
            policies: endpoints.iter().map(policy).collect::<Result<_, Error>>()?,
            endpoints,
            records: self.records.all()?,
            nodes: self.nodes.all()?,
            addresses: self.addresses.all()?,
            frontends: self.services.all_frontends()?,
            backends: self.services.all_backends()?,
            maglev: self.services.all_tables()?,
        })
    }

    pub fn apply(&mut self, change: &Change) -> Result<(), Error> {
        self.put_off(change)?;
        match change.is_small() {
            true => self.settle(),
            false => Ok(()),
        }
    }

    /// Does what was put off. When that fails, any of it may be done or not.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.services.settle()
    }

    /// As `apply`, but a [small](Change::is_small) change may be done no sooner than at the next `settle`.
    pub fn put_off(&mut self, change: &Change) -> Result<(), Error> {
        self.foresee(change)?;
        match change {
            Change::NodeSet(slot, path) => self.paths.set(&mut self.nodes, *slot, path),
            Change::NodeGone(slot) => {
                self.paths.unset(&mut self.nodes, *slot)?;
                // Flows of addresses that no record names rest on the node alone, whose slot may be another's next.
                self.addresses.touch_ranges()
            }
            Change::AddressSet(net, reach) => self.addresses.set(*net, *reach),
            Change::AddressGone(net) => {
                self.addresses.unset(*net)?;
                if net.prefix_len() == net.max_prefix_len() {
                    self.dead.insert(Dead::Address(net.addr()));
                }
                Ok(())
            }
            Change::EndpointSet(id, path) => self.set_endpoint(*id, path),
            Change::EndpointGone(id) => self.unset_endpoint(*id),
            Change::PolicySet(id, entries) => {
                self.policies.set(*id, entries)?;
                self.endpoints.touch(*id)
            }
            Change::FrontendSet(frontend, path) => self.services.set_frontend(*frontend, path),
            Change::FrontendGone(frontend) => self.services.unset_frontend(*frontend),
            Change::BackendSet(pool, backend, path) => {
                self.services.put_off_backend(*pool, *backend, *path)?;
                if path.lost {
                    self.dead.insert(Dead::Backend(pool.protocol, *backend));
                }
                Ok(())
            }
            Change::BackendGone(pool, backend) => self.services.unset_backend(*pool, *backend),
            Change::MaglevSet(pool, table) => self.services.set_table(*pool, table),
            Change::MaglevGone(pool) => self.services.unset_table(*pool),
            Change::RouteSet(range) => {
                Ok(self
                    .netlink
                    .replace_route(&host::route(&self.config, &self.devices, *range))?)
            }
            Change::RouteGone(range) => {
                Ok(self
                    .netlink
                    .delete_route(&host::route(&self.config, &self.devices, *range))?)
            }
        }
    }

    /// The device carries packets only once the program stands at it and the tables know it.
    fn set_endpoint(&mut self, id: EndpointId, path: &EndpointPath) -> Result<(), Error> {
        let ifindex = path.ifindex;
        let link = self
            .netlink
            .link_by_index(ifindex)?
            .ok_or(Error::NoInterface { ifindex })?;
        links::attach(
            &mut self.ebpf,
            FROM_CONTAINER,
            &link.name,
            Stand::First,
            &endpoint_pin(&self.config.pins, id),
        )?;
        self.endpoints.set(id, path)?;
        host::prepare_device(&link.name)?;
        Ok(self.netlink.set_up(ifindex)?)
    }

    fn unset_endpoint(&mut self, id: EndpointId) -> Result<(), Error> {
        self.endpoints.unset(id)?;
        self.policies.unset(id)?;
        links::remove(&endpoint_pin(&self.config.pins, id))
    }

    /// Keeps what the agent must know of an endpoint beyond a crash.
    pub fn remember(&mut self, id: EndpointId, record: &[u8]) -> Result<(), Error> {
        self.records.set(id, record)
    }

    pub fn forget(&mut self, id: EndpointId) -> Result<(), Error> {
        self.records.unset(id)
    }

    /// The reading end of the events. There is one.
    pub fn events(&mut self) -> Result<Events, Error> {
        Events::new(maps::take(&mut self.ebpf, "EVENTS")?)
    }

    /// Whether allowed connections are told of too. Drops always are.
    pub fn tell_allowed(&mut self, on: bool) -> Result<(), Error> {
        self.monitor.tell_allowed(on)
    }

    pub fn counters(&self) -> Result<Counters, Error> {
        let packets = |index| self.counts.get(index).map(|(packets, _)| packets);
        let mut drops = BTreeMap::new();
        for reason in Drop::ALL {
            let (packets, bytes) = self.counts.get(reason as u32)?;
            if packets != 0 {
                drops.insert(reason.name().to_owned(), (packets, bytes));
            }
        }
        Ok(Counters {
            drops,
            events_lost: packets(counter::EVENTS_LOST)?,
            slow_path: packets(counter::SLOW_PATH)?,
            rejudged: packets(counter::REJUDGED)?,
            fallback_sent: packets(counter::FALLBACK_SENT)?,
            fallback_received: packets(counter::FALLBACK_RECEIVED)?,
            path_mtu_learnt: packets(counter::PATH_MTU_LEARNT)?,
        })
    }

    /// Where nobody is any more since this was asked last, for [`LedSockets`].
    pub fn take_dead(&mut self) -> BTreeSet<Dead> {
        mem::take(&mut self.dead)
    }

    pub fn led_sockets(&self) -> Result<LedSockets, Error> {
        LedSockets::open(&maps_folder(&self.config.pins))
    }

    /// Where the agent's sockets are put that answer questions for names.
    pub fn name_sockets(&self) -> Result<NameSockets, Error> {
        NameSockets::open(&maps_folder(&self.config.pins))
    }

    /// How full the flow table is. An estimate when it is large.
    pub fn flow_use(&self) -> Result<TableUse, Error> {
        let info = self
            .flows
            .info()
            .map_err(Error::map("FLOWS", "asking the size of"))?;
        let size = u64::from(info.max_entries());
        let used =
            bpf::estimate_flows(self.flows.fd().as_fd(), size).map_err(|source| Error::Io {
                operation: "counting flows",
                source,
            })?;
        Ok(TableUse { used, size })
    }

    /// Tells when the node's routes, neighbours or devices have changed; then [`Datapath::refresh`] is due.
    pub fn watch(&self) -> Result<WatchHandle, Error> {
        WatchHandle::open()
    }

    /// Looks again for the way to each node.
    pub fn refresh(&mut self) -> Result<(), Error> {
        self.paths.refresh(&mut self.nodes)
    }

    pub fn warnings(&self) -> Vec<String> {
        [self.lacks.clone(), self.paths.warnings()].concat()
    }
}

#[cfg(test)]
impl Datapath {
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

/// The unified hierarchy's folder, which may stand beside the older ones'.
fn unified(folder: &Path) -> Option<PathBuf> {
    let places = [folder.to_owned(), folder.join("unified")];
    places.into_iter().find(|place| cgroup::is_unified(place))
}

fn no_group(folder: &Path) -> String {
    format!(
        "no service is led to its backends: {} is no control group of version 2; give --cgroup the folder where cgroup2 is mounted, often /sys/fs/cgroup",
        folder.display()
    )
}

pub(crate) fn maps_folder(pins: &Path) -> PathBuf {
    pins.join(format!("maps-v{ABI_VERSION}"))
}

/// Maps of another layout are of no use to these programs. What the agent remembers of endpoints is in a map that has none.
fn remove_other_versions(pins: &Path) -> Result<(), Error> {
    let failed = |source| Error::Folder {
        path: pins.to_owned(),
        source,
    };
    for entry in fs::read_dir(pins).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("maps-v") && path != maps_folder(pins) {
            fs::remove_dir_all(&path).map_err(failed)?;
        }
    }
    Ok(())
}

fn links_folder(pins: &Path) -> PathBuf {
    pins.join("links")
}

fn endpoint_pin(pins: &Path, id: EndpointId) -> PathBuf {
    links_folder(pins).join(format!("endpoint-{id}"))
}

pub(crate) fn leaving_pin(pins: &Path, uplink: &str) -> PathBuf {
    links_folder(pins).join(format!("leaving-{uplink}"))
}

/// Takes everything of ours away from the node: programs, maps, devices, masquerading.
pub fn remove(pins: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(pins) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::Folder {
                path: pins.to_owned(),
                source: error,
            });
        }
        _ => {}
    }
    host::remove(&Netlink::open()?)
}
