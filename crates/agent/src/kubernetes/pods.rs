//! This node's pods: what is known of them, and what is to be done next. No input, output or clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::Deserialize;
use serde_json::Value;
use tombolo_k8s::{
    client::{Item, ObjectName, WatchChange},
    labels::PodLabels,
};
use tombolo_model::{
    config::Config,
    event::Event,
    id::Identity,
    local::{Attachment, Endpoint, EndpointState, PodName},
};

use super::{
    forms::{Labelled, Pod},
    identity::{Identities, Known, LabelMap},
    record,
};

/// The operator's mark on an identity that nobody seems to use.
pub const UNUSED: &str = "tombolo.io/unused-since";
/// Numbers that are tried for labels, one after the other.
const CANDIDATES: usize = 16;

/// What watches tell of, each in its own frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    Pods,
    Namespaces,
    Identities,
    Records,
}

/// A thing to do, and what of it is done one at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make an identity for labels that have none, of the first of these numbers that is free.
    Make(LabelMap, Vec<Identity>),
    /// Take the mark off one that is to be used.
    Unmark(Identity),
    /// Tell the loop.
    Identify(Attachment, Identity),
    Write(Box<Write>),
    /// Of this version: another node may have the pod's name now.
    Remove(ObjectName, String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    pub name: ObjectName,
    pub object: Value,
    pub exists: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Labels(LabelMap),
    Identity(Identity),
    Attachment(Attachment),
    Record(ObjectName),
}

impl Step {
    pub fn subject(&self) -> Subject {
        match self {
            Step::Make(labels, _) => Subject::Labels(labels.clone()),
            Step::Unmark(identity) => Subject::Identity(*identity),
            Step::Identify(attachment, _) => Subject::Attachment(attachment.clone()),
            Step::Write(write) => Subject::Record(write.name.clone()),
            Step::Remove(name, _) => Subject::Record(name.clone()),
        }
    }
}

/// A record that stands in the API for this node.
#[derive(Debug, PartialEq)]
struct Written {
    version: String,
    owner: String,
    status: Value,
}

pub struct Pods {
    cluster: String,
    addresses: Vec<IpAddr>,
    pods: BTreeMap<ObjectName, Pod>,
    namespaces: BTreeMap<String, LabelMap>,
    pub identities: Identities,
    written: BTreeMap<ObjectName, Written>,
    endpoints: Option<Vec<Endpoint>>,
    synced: BTreeSet<Told>,
    seen: BTreeMap<Told, BTreeSet<ObjectName>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IdentityForm {
    metadata: super::forms::Meta,
    #[serde(rename = "security-labels")]
    security_labels: LabelMap,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RecordForm {
    metadata: RecordMeta,
    status: Value,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RecordMeta {
    owner_references: Vec<Owner>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Owner {
    uid: String,
}

impl Pods {
    pub fn new(config: &Config) -> Pods {
        Pods {
            cluster: config.cluster.clone(),
            addresses: config.addresses.clone(),
            pods: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            identities: Identities::new(config.cluster_id.identities(config.identity_shift())),
            written: BTreeMap::new(),
            endpoints: None,
            synced: BTreeSet::new(),
            seen: BTreeMap::new(),
        }
    }

    pub fn endpoints(&mut self, endpoints: Vec<Endpoint>) {
        self.endpoints = Some(endpoints);
    }

    /// What a watch says.
    pub fn hear(&mut self, told: Told, change: WatchChange) {
        let seen = self.seen.entry(told).or_default();
        match change {
            Err(reject) => tracing::warn!("an object is refused: {reject}"),
            Ok(Event::Restart) => seen.clear(),
            Ok(Event::Upsert(name, item)) => {
                seen.insert(name);
                self.upsert(told, &item);
            }
            Ok(Event::Delete(name)) => {
                seen.remove(&name);
                self.remove(told, &name);
            }
            Ok(Event::Synced) => {
                let seen = std::mem::take(seen);
                for name in self.names(told) {
                    if !seen.contains(&name) {
                        self.remove(told, &name);
                    }
                }
                self.synced.insert(told);
            }
        }
    }

    fn upsert(&mut self, told: Told, item: &Item) {
        let name = item.name().clone();
        match told {
            Told::Pods => drop(self.pods.insert(name, item.read().unwrap_or_default())),
            Told::Namespaces => {
                let namespace: Labelled = item.read().unwrap_or_default();
                self.namespaces.insert(name.name, namespace.metadata.labels);
            }
            Told::Identities => self.identity(item),
            Told::Records => self.record(item),
        }
    }

    /// Also for what was made or changed by ourselves, before the watch tells of it.
    pub fn identity(&mut self, item: &Item) {
        let (Ok(number), Ok(form)) = (item.name().name.parse(), item.read::<IdentityForm>()) else {
            return;
        };
        let known = Known {
            labels: form.security_labels,
            marked: form.metadata.annotations.contains_key(UNUSED),
        };
        self.identities.upsert(Identity(number), known);
    }

    /// As above. What another node has written is none of ours.
    pub fn record(&mut self, item: &Item) {
        let name = item.name().clone();
        let form: RecordForm = item.read().unwrap_or_default();
        let host = form.status["networking"]["node"].as_str();
        let host = host.and_then(|text| text.parse::<IpAddr>().ok());
        if !host.is_some_and(|host| self.addresses.contains(&host)) {
            self.written.remove(&name);
            return;
        }
        let owner = form.metadata.owner_references.into_iter().next();
        let written = Written {
            version: item.version().to_owned(),
            owner: owner.unwrap_or_default().uid,
            status: form.status,
        };
        self.written.insert(name, written);
    }

    pub fn forget_record(&mut self, name: &ObjectName) {
        self.written.remove(name);
    }

    fn remove(&mut self, told: Told, name: &ObjectName) {
        match told {
            Told::Pods => drop(self.pods.remove(name)),
            Told::Namespaces => drop(self.namespaces.remove(&name.name)),
            Told::Records => drop(self.written.remove(name)),
            Told::Identities => {
                if let Ok(number) = name.name.parse() {
                    self.identities.remove(Identity(number));
                }
            }
        }
    }

    fn names(&self, told: Told) -> Vec<ObjectName> {
        let named = |name: String| ObjectName {
            namespace: String::new(),
            name,
        };
        match told {
            Told::Pods => self.pods.keys().cloned().collect(),
            Told::Records => self.written.keys().cloned().collect(),
            Told::Namespaces => self.namespaces.keys().cloned().map(named).collect(),
            Told::Identities => {
                let numbers = self.identities.numbers();
                numbers.map(|number| named(number.0.to_string())).collect()
            }
        }
    }

    fn labels(&self, name: &ObjectName, pod: &Pod) -> Option<LabelMap> {
        let labels = PodLabels {
            cluster: &self.cluster,
            namespace: &name.namespace,
            service_account: &pod.spec.service_account_name,
            labels: &pod.metadata.labels,
            namespace_labels: self.namespaces.get(&name.namespace)?,
        };
        Some(labels.security_labels())
    }

    /// The identity of a pod, once it may be given.
    pub fn identity_of(&self, pod: &PodName) -> Option<Identity> {
        let name = object_name(pod);
        let labels = self.labels(&name, self.pods.get(&name)?)?;
        let identity = self.identities.find(&labels)?;
        let known = self.identities.get(identity)?;
        (!known.marked).then_some(identity)
    }

    /// All that is to be done, of each subject one thing.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let ready = [Told::Pods, Told::Namespaces, Told::Identities];
        if !ready.iter().all(|told| self.synced.contains(told)) {
            return steps;
        }
        self.make_identities(&mut steps);
        let Some(endpoints) = &self.endpoints else {
            return steps;
        };
        let mut kept = BTreeSet::new();
        for endpoint in endpoints {
            let name = object_name(&endpoint.pod);
            let Some(pod) = self.pods.get(&name) else {
                continue;
            };
            let Some(identity) = self.identity_of(&endpoint.pod) else {
                kept.insert(name);
                continue;
            };
            if endpoint.identity != identity {
                steps.push(Step::Identify(endpoint.attachment.clone(), identity));
            }
            if endpoint.state == EndpointState::Ready && kept.insert(name.clone()) {
                steps.extend(self.write(&name, endpoint, pod, identity));
            }
        }
        if self.synced.contains(&Told::Records) {
            let left = self.written.iter().filter(|(name, _)| !kept.contains(name));
            steps.extend(
                left.map(|(name, written)| Step::Remove(name.clone(), written.version.clone())),
            );
        }
        steps
    }

    fn make_identities(&self, steps: &mut Vec<Step>) {
        let mut wanted = BTreeSet::new();
        for (name, pod) in &self.pods {
            let ended = ["Succeeded", "Failed"].contains(&pod.status.phase.as_str());
            if pod.spec.host_network || ended {
                continue;
            }
            wanted.extend(self.labels(name, pod));
        }
        for labels in wanted {
            match self.identities.find(&labels) {
                None => {
                    let mut refused = BTreeSet::new();
                    let mut candidates = Vec::new();
                    while candidates.len() < CANDIDATES
                        && let Some(number) = self.identities.propose(&labels, &refused)
                    {
                        refused.insert(number);
                        candidates.push(number);
                    }
                    steps.push(Step::Make(labels, candidates));
                }
                Some(identity) if self.identities.get(identity).is_some_and(|it| it.marked) => {
                    steps.push(Step::Unmark(identity));
                }
                Some(_) => {}
            }
        }
    }

    fn write(
        &self,
        name: &ObjectName,
        endpoint: &Endpoint,
        pod: &Pod,
        identity: Identity,
    ) -> Option<Step> {
        let labels = &self.identities.get(identity)?.labels;
        let status = record::status(endpoint, pod, identity, labels, *self.addresses.first()?);
        let written = self.written.get(name);
        if let Some(written) = written
            && written.status == status
            && written.owner == pod.metadata.uid
        {
            return None;
        }
        Some(Step::Write(Box::new(Write {
            object: record::object(endpoint, pod, &status),
            name: name.clone(),
            exists: written.is_some(),
        })))
    }
}

fn object_name(pod: &PodName) -> ObjectName {
    ObjectName {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
    }
}
