//! The pods of this node: reserved, attached, deleted; and their addresses and numbers.

use crate::{
    change::{EndpointPath, PolicyEntry},
    config::Config,
    id::{EndpointId, Identity},
    local::{Attachment, Endpoint, EndpointState, Failure, FailureCode, PodName},
    net::{Mac, PodAddresses},
    policy,
    pool::{Numbers, Pool},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

#[cfg(test)]
mod tests;

/// The highest number of an endpoint.
pub const ENDPOINTS_MAX: u16 = 4095;
/// How long addresses are kept for an interface that does not come.
pub const RESERVATION: Duration = Duration::from_secs(60);
/// The longest record of an endpoint, as JSON.
pub const RECORD_LEN_MAX: usize = 1024;

/// What outlives the agent of an endpoint that is attached, beside what the kernel's tables hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    pub id: EndpointId,
    pub attachment: Attachment,
    #[serde(default)]
    pub netns: String,
    #[serde(default)]
    pub pod: PodName,
    pub identity: Identity,
    pub addresses: PodAddresses,
    pub host_interface: String,
    /// 0 until attached.
    pub ifindex: u32,
    #[serde(default)]
    pub mac: Mac,
}

#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) record: EndpointRecord,
    /// When a reservation ends; absent once attached.
    until: Option<Duration>,
    /// As given; empty allows everything.
    rules: Vec<PolicyEntry>,
}

pub(crate) struct Endpoints {
    lives: BTreeMap<EndpointId, Life>,
    by_attachment: BTreeMap<Attachment, EndpointId>,
    /// Addresses of those that are attached.
    by_address: BTreeMap<IpAddr, EndpointId>,
    ids: Numbers,
    pools: Vec<Pool>,
}

impl Endpoints {
    pub(crate) fn new(pools: Vec<Pool>) -> Endpoints {
        Endpoints {
            lives: BTreeMap::new(),
            by_attachment: BTreeMap::new(),
            by_address: BTreeMap::new(),
            ids: Numbers::new(1, u128::from(ENDPOINTS_MAX)),
            pools,
        }
    }

    pub(crate) fn reserve(
        &mut self,
        attachment: Attachment,
        netns: String,
        pod: PodName,
        identity: Identity,
        now: Duration,
    ) -> Result<&EndpointRecord, Failure> {
        if let Some(id) = self.by_attachment.get(&attachment).copied() {
            let life = self
                .lives
                .get_mut(&id)
                .expect("an attachment's endpoint lives");
            if life.until.is_none() {
                return Err(Failure::attached(&attachment));
            }
            life.until = Some(now + RESERVATION);
            life.record.netns = netns;
            life.record.pod = pod;
            life.record.identity = identity;
            return Ok(&life.record);
        }
        let id = self.ids.take().ok_or_else(|| Failure {
            code: FailureCode::Exhausted,
            message: format!("all {ENDPOINTS_MAX} endpoints of this node are taken"),
            hint: "delete pods, or run new ones on another node".into(),
        })?;
        let id = EndpointId(id as u16);
        let addresses = self
            .take_addresses()
            .inspect_err(|_| self.ids.free(u128::from(id.0)))?;
        let host_interface = host_interface(id, &attachment);
        let record = EndpointRecord {
            id,
            attachment,
            netns,
            pod,
            identity,
            addresses,
            host_interface,
            ifindex: 0,
            mac: Mac::default(),
        };
        self.by_attachment.insert(record.attachment.clone(), id);
        let life = Life {
            record,
            until: Some(now + RESERVATION),
            rules: Vec::new(),
        };
        Ok(&self.lives.entry(id).or_insert(life).record)
    }

    fn take_addresses(&mut self) -> Result<PodAddresses, Failure> {
        let mut addresses = PodAddresses::default();
        for index in 0..self.pools.len() {
            match self.pools[index].take() {
                Ok(address) => addresses.insert(address),
                Err(exhausted) => {
                    self.free_addresses(addresses);
                    return Err(Failure {
                        code: FailureCode::Exhausted,
                        message: exhausted.to_string(),
                        hint: "delete pods, or give the node a larger --pod-range".into(),
                    });
                }
            }
        }
        Ok(addresses)
    }

    fn free_addresses(&mut self, addresses: PodAddresses) {
        for address in addresses.iter() {
            self.pools.iter_mut().for_each(|pool| pool.free(address));
        }
    }

    pub(crate) fn attach(
        &mut self,
        attachment: &Attachment,
        ifindex: u32,
        mac: Mac,
    ) -> Result<EndpointId, Failure> {
        let id = *self
            .by_attachment
            .get(attachment)
            .ok_or_else(|| Failure::unknown_attachment(attachment))?;
        if let Some(other) = self.at_interface(ifindex).filter(|other| *other != id) {
            return Err(Failure::bad_request(format!(
                "interface {ifindex} belongs to endpoint {other}"
            )));
        }
        let life = self
            .lives
            .get_mut(&id)
            .expect("an attachment's endpoint lives");
        if life.until.is_none() {
            let same = life.record.ifindex == ifindex && life.record.mac == mac;
            return if same {
                Ok(id)
            } else {
                Err(Failure::attached(attachment))
            };
        }
        life.until = None;
        life.record.ifindex = ifindex;
        life.record.mac = mac;
        self.by_address
            .extend(life.record.addresses.iter().map(|address| (address, id)));
        Ok(id)
    }

    /// Makes an attached endpoint a reservation again, for the kernel refused it.
    pub(crate) fn detach(&mut self, id: EndpointId, now: Duration) -> PodAddresses {
        let Some(life) = self.lives.get_mut(&id) else {
            return PodAddresses::default();
        };
        life.until = Some(now + RESERVATION);
        life.record.ifindex = 0;
        let addresses = life.record.addresses;
        for address in addresses.iter() {
            self.by_address.remove(&address);
        }
        addresses
    }

    /// The number stays taken until `settle`.
    pub(crate) fn delete(&mut self, id: EndpointId) -> Option<PodAddresses> {
        let life = self.lives.remove(&id)?;
        self.by_attachment.remove(&life.record.attachment);
        let addresses = life.record.addresses;
        if life.until.is_none() {
            for address in addresses.iter() {
                self.by_address.remove(&address);
            }
        }
        self.free_addresses(addresses);
        Some(addresses)
    }

    /// Gives a number back once the kernel has forgotten it.
    pub(crate) fn settle(&mut self, id: EndpointId, held: bool) {
        if !held && !self.lives.contains_key(&id) {
            self.ids.free(u128::from(id.0));
        }
    }

    /// Takes up an endpoint from before the start; false when it stands in conflict with another.
    pub(crate) fn restore(&mut self, record: EndpointRecord, rules: &[PolicyEntry]) -> bool {
        let id = record.id;
        let taken = |address: IpAddr| {
            self.by_address.contains_key(&address)
                || self.pools.iter().any(|pool| pool.router() == address)
        };
        if id.0 == 0
            || id.0 > ENDPOINTS_MAX
            || record.ifindex == 0
            || self.lives.contains_key(&id)
            || self.by_attachment.contains_key(&record.attachment)
            || self.at_interface(record.ifindex).is_some()
            || record.addresses.iter().any(taken)
        {
            return false;
        }
        self.ids.restore(u128::from(id.0));
        for address in record.addresses.iter() {
            for pool in &mut self.pools {
                pool.restore(address);
            }
            self.by_address.insert(address, id);
        }
        self.by_attachment.insert(record.attachment.clone(), id);
        self.lives.insert(
            id,
            Life {
                record,
                until: None,
                rules: policy::given(rules),
            },
        );
        true
    }

    /// A number that the kernel holds since before the start.
    pub(crate) fn restore_id(&mut self, id: EndpointId) {
        self.ids.restore(u128::from(id.0));
    }

    pub(crate) fn set_identity(
        &mut self,
        attachment: &Attachment,
        identity: Identity,
    ) -> Result<(EndpointId, PodAddresses), Failure> {
        let id = self.id_of(attachment);
        let life = id.and_then(|id| self.lives.get_mut(&id));
        let life = life.ok_or_else(|| Failure::unknown_attachment(attachment))?;
        life.record.identity = identity;
        Ok((life.record.id, life.record.addresses))
    }

    pub(crate) fn set_rules(
        &mut self,
        id: EndpointId,
        rules: Vec<PolicyEntry>,
    ) -> Result<(), Failure> {
        policy::check(&rules).map_err(|error| Failure::bad_request(error.to_string()))?;
        let life = self.lives.get_mut(&id).ok_or_else(|| Failure {
            code: FailureCode::NotFound,
            message: format!("there is no endpoint {id}"),
            hint: "list them with `tombolo endpoint list`".into(),
        })?;
        life.rules = rules;
        Ok(())
    }

    pub(crate) fn expired(&self, now: Duration) -> Vec<EndpointId> {
        self.lives
            .iter()
            .filter(|(_, life)| life.until.is_some_and(|until| until <= now))
            .map(|(id, _)| *id)
            .collect()
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.lives.values().filter_map(|life| life.until).min()
    }

    fn ready(&self, id: EndpointId) -> Option<&Life> {
        self.lives.get(&id).filter(|life| life.until.is_none())
    }

    pub(crate) fn path(&self, id: EndpointId) -> Option<EndpointPath> {
        self.ready(id).map(|Life { record, .. }| EndpointPath {
            identity: record.identity,
            ifindex: record.ifindex,
            mac: record.mac,
            addresses: record.addresses,
        })
    }

    pub(crate) fn policy(&self, id: EndpointId) -> Option<Vec<PolicyEntry>> {
        self.ready(id).map(|life| policy::normalise(&life.rules))
    }

    pub(crate) fn record(&self, id: EndpointId) -> Option<&EndpointRecord> {
        self.lives.get(&id).map(|life| &life.record)
    }

    pub(crate) fn id_of(&self, attachment: &Attachment) -> Option<EndpointId> {
        self.by_attachment.get(attachment).copied()
    }

    pub(crate) fn attachments(&self) -> impl Iterator<Item = (&Attachment, EndpointId)> {
        self.by_attachment
            .iter()
            .map(|(attachment, id)| (attachment, *id))
    }

    /// The attached endpoint that has this address.
    pub(crate) fn at(&self, address: IpAddr) -> Option<&EndpointRecord> {
        self.record(*self.by_address.get(&address)?)
    }

    pub(crate) fn at_interface(&self, ifindex: u32) -> Option<EndpointId> {
        self.lives
            .values()
            .find(|life| life.until.is_none() && life.record.ifindex == ifindex)
            .map(|life| life.record.id)
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = &IpAddr> {
        self.by_address.keys()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = EndpointId> {
        self.lives.keys().copied()
    }

    pub(crate) fn pools(&self) -> &[Pool] {
        &self.pools
    }

    pub(crate) fn view(&self, id: EndpointId) -> Option<Endpoint> {
        let Life {
            record,
            until,
            rules,
        } = self.lives.get(&id)?;
        let ready = until.is_none();
        Some(Endpoint {
            id,
            attachment: record.attachment.clone(),
            pod: record.pod.clone(),
            identity: record.identity,
            addresses: record.addresses,
            host_interface: record.host_interface.clone(),
            state: if ready {
                EndpointState::Ready
            } else {
                EndpointState::Reserved
            },
            ifindex: record.ifindex,
            mac: ready.then_some(record.mac),
            rules: rules.len(),
        })
    }
}

/// Refuses words that are not what a runtime names containers, interfaces and namespaces by.
pub(crate) fn check_names(
    attachment: &Attachment,
    netns: &str,
    pod: &PodName,
) -> Result<(), Failure> {
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
    };
    let words = [
        ("container", attachment.container.as_str(), 1, 200),
        ("interface", attachment.interface.as_str(), 1, 15),
        ("network namespace", netns, 0, 160),
        ("pod namespace", pod.namespace.as_str(), 0, 63),
        ("pod name", pod.name.as_str(), 0, 253),
    ];
    for (what, text, min, max) in words {
        if text.len() < min || text.len() > max || !plain(text) {
            return Err(Failure::bad_request(format!(
                "{what} must have {min} to {max} plain characters"
            )));
        }
    }
    Ok(())
}

/// The identity of a new pod: as given, or the one for pods that nobody has labelled yet.
pub(crate) fn identity(given: Option<Identity>, config: &Config) -> Result<Identity, Failure> {
    let identity = given.unwrap_or(Identity::INIT);
    if config.may_give(identity) {
        return Ok(identity);
    }
    Err(Failure {
        code: FailureCode::BadRequest,
        message: format!(
            "identity {identity} is not one of cluster {} ({})",
            config.cluster, config.cluster_id
        ),
        hint: format!(
            "use {} and above",
            u32::from(config.cluster_id.0) << config.identity_shift() | 256
        ),
    })
}

/// `tmb`, the number, and a hash by which two lives of one number differ; 15 characters at most.
fn host_interface(id: EndpointId, attachment: &Attachment) -> String {
    let bytes = attachment
        .container
        .bytes()
        .chain([0])
        .chain(attachment.interface.bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("tmb{id}x{:07x}", hash >> 4)
}

impl Failure {
    pub(crate) fn bad_request(message: String) -> Failure {
        Failure {
            code: FailureCode::BadRequest,
            message,
            hint: String::new(),
        }
    }

    fn attached(attachment: &Attachment) -> Failure {
        Failure {
            code: FailureCode::Exists,
            message: format!(
                "interface {} of container {} is attached already",
                attachment.interface, attachment.container
            ),
            hint: "delete it first".into(),
        }
    }

    fn unknown_attachment(attachment: &Attachment) -> Failure {
        Failure {
            code: FailureCode::NotFound,
            message: format!(
                "nothing is reserved for interface {} of container {}",
                attachment.interface, attachment.container
            ),
            hint: format!(
                "reserve it again; a reservation ends after {} s",
                RESERVATION.as_secs()
            ),
        }
    }
}
