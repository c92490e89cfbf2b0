//! Does what is to be done for this node's pods, several things at one time and of each subject one.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::{
    select,
    sync::{Notify, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tombolo_control::Feed;
use tombolo_k8s::{
    Client,
    client::{Api, Error, Item, ObjectName, Selection, WatchChange},
};
use tombolo_model::{
    config::Config,
    fact::{EndpointFact, Fact},
    id::Identity,
    local::{Reply, Request},
};

use super::{
    Kubernetes,
    ask::Question,
    identity::LabelMap,
    pods::{Pods, Step, Subject, Told, UNUSED},
    services,
};
use crate::node::{Command, ask};

/// Requests that are under way at one time.
const JOBS_MAX: usize = 8;
/// Until something that failed is tried again.
const RETRY: Duration = Duration::from_secs(2);
const ABOUT: &str = "telling of this node's pods";

/// What came of a step.
enum Done {
    Identity(Item),
    Identified,
    Record(Item),
    Removed(ObjectName),
    Failed(Error),
    /// All numbers that were tried are others'.
    NoRoom,
}

struct Work<'a> {
    kubernetes: &'a Kubernetes,
    facts: mpsc::Sender<Vec<Fact>>,
    pods: Pods,
    questions: Vec<Question>,
    jobs: JoinSet<(Subject, Done)>,
    busy: BTreeSet<Subject>,
    /// What failed, and when it is tried again.
    later: BTreeMap<Subject, Instant>,
    /// What the loop has not heard of namespaces yet.
    namespaces: Vec<Fact>,
}

/// What comes other ways than by watches of its own.
pub struct Inlets {
    pub questions: mpsc::Receiver<Question>,
    /// The node's own records, as they stand in the API.
    pub records: mpsc::Receiver<WatchChange>,
    pub changed: Arc<Notify>,
}

/// For ever.
pub async fn run(
    kubernetes: &Kubernetes,
    config: &Config,
    commands: &mpsc::Sender<Command>,
    facts: mpsc::Sender<Vec<Fact>>,
    mut inlets: Inlets,
) {
    let feed = |selection| Feed::new(&kubernetes.client, selection, &kubernetes.troubles);
    let local = Selection::all(Api::PODS).field("spec.nodeName", &kubernetes.node);
    let mut feeds = [
        (Told::Pods, feed(local)),
        (Told::Namespaces, feed(Selection::all(Api::NAMESPACES))),
        (
            Told::Identities,
            feed(Selection::all(Api::CILIUM_IDENTITIES)),
        ),
    ];
    let mut work = Work {
        kubernetes,
        facts,
        pods: Pods::new(config),
        questions: Vec::new(),
        jobs: JoinSet::new(),
        busy: BTreeSet::new(),
        later: BTreeMap::new(),
        namespaces: Vec::new(),
    };
    // The endpoints that were recovered.
    inlets.changed.notify_one();
    loop {
        let [pods, namespaces, identities] = &mut feeds;
        let due = work.later.values().min().copied();
        select! {
            change = pods.1.next() => work.pods.hear(Told::Pods, change),
            change = namespaces.1.next() => work.hear_namespace(change),
            change = identities.1.next() => work.pods.hear(Told::Identities, change),
            Some(change) = inlets.records.recv() => work.pods.hear(Told::Records, change),
            Some(question) = inlets.questions.recv() => work.questions.push(question),
            () = inlets.changed.notified() => work.look(commands).await,
            Some(done) = work.jobs.join_next() => {
                let (subject, done) = done.expect("a job that panics ends the process");
                work.done(subject, done);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let now = Instant::now();
                work.later.retain(|_, due| *due > now);
            }
        }
        for (told, feed) in &mut feeds {
            while let Some(change) = feed.next().now_or_never() {
                match told {
                    Told::Namespaces => work.hear_namespace(change),
                    _ => work.pods.hear(*told, change),
                }
            }
        }
        while let Ok(change) = inlets.records.try_recv() {
            work.pods.hear(Told::Records, change);
        }
        work.tell_namespaces().await;
        work.begin();
        work.answer();
    }
}

impl Work<'_> {
    async fn look(&mut self, commands: &mpsc::Sender<Command>) {
        if let Some(Reply::Endpoints { endpoints }) = ask(commands, Request::EndpointList).await {
            self.pods.endpoints(endpoints);
        }
    }

    fn hear_namespace(&mut self, change: WatchChange) {
        self.namespaces.push(services::namespace(&change));
        self.pods.hear(Told::Namespaces, change);
    }

    async fn tell_namespaces(&mut self) {
        if !self.namespaces.is_empty() {
            // Who has ended needs to know no more.
            let _ = self.facts.send(mem::take(&mut self.namespaces)).await;
        }
    }

    fn begin(&mut self) {
        for step in self.pods.steps() {
            if self.jobs.len() >= JOBS_MAX {
                return;
            }
            let subject = step.subject();
            if self.later.contains_key(&subject) || !self.busy.insert(subject.clone()) {
                continue;
            }
            let (client, facts) = (self.kubernetes.client.clone(), self.facts.clone());
            self.jobs
                .spawn(async move { (subject, act(&client, &facts, step).await) });
        }
    }

    fn done(&mut self, subject: Subject, done: Done) {
        self.busy.remove(&subject);
        let trouble = match done {
            Done::Identity(item) => {
                self.pods.identity(&item);
                None
            }
            Done::Record(item) => {
                self.pods.record(&item);
                None
            }
            Done::Removed(name) => {
                self.pods.forget_record(&name);
                None
            }
            Done::Identified => None,
            Done::Failed(error) => Some(error.to_string()),
            Done::NoRoom => Some(
                "no number is free for an identity: delete CiliumIdentities that nobody uses"
                    .into(),
            ),
        };
        match trouble {
            Some(trouble) => {
                self.kubernetes.troubles.set(ABOUT, trouble);
                self.later.insert(subject, Instant::now() + RETRY);
            }
            None if self.later.is_empty() => self.kubernetes.troubles.clear(ABOUT),
            None => {}
        }
    }

    fn answer(&mut self) {
        let questions = mem::take(&mut self.questions);
        for question in questions {
            match self.pods.identity_of(&question.pod) {
                Some(identity) => drop(question.answer.send(identity)),
                None if question.answer.is_closed() => {}
                None => self.questions.push(question),
            }
        }
    }
}

async fn act(client: &Client, facts: &mpsc::Sender<Vec<Fact>>, step: Step) -> Done {
    let done = match step {
        Step::Make(labels, candidates) => make(client, &labels, &candidates).await,
        Step::Unmark(identity) => {
            let patch = json!({"metadata": {"annotations": {UNUSED: null}}});
            let name = Api::CILIUM_IDENTITIES.name("", &identity.0.to_string());
            let patched = client.patch(Api::CILIUM_IDENTITIES, &name, &patch).await;
            patched.map(Done::Identity)
        }
        Step::Identify(attachment, identity) => {
            let fact = EndpointFact::Identify {
                attachment,
                identity,
            };
            // Who has ended needs no identity.
            let _ = facts.send(vec![Fact::Endpoint(fact)]).await;
            Ok(Done::Identified)
        }
        Step::Write(write) => write_record(client, &write.name, &write.object, write.exists).await,
        Step::Remove(name, version) => {
            let removed = client
                .delete_version(Api::CILIUM_ENDPOINTS, &name, &version)
                .await;
            match removed {
                // Whose it is now comes by the watch.
                Ok(_) | Err(Error::Conflict { .. }) => Ok(Done::Removed(name)),
                Err(error) => Err(error),
            }
        }
    };
    done.unwrap_or_else(Done::Failed)
}

/// Who comes second finds that the number has the labels already, and takes it.
async fn make(client: &Client, labels: &LabelMap, candidates: &[Identity]) -> Result<Done, Error> {
    for number in candidates {
        let object = identity(*number, labels);
        let made = client.create(Api::CILIUM_IDENTITIES, "", &object).await;
        let exists = match made {
            Ok(item) => return Ok(Done::Identity(item)),
            Err(Error::Exists { .. }) => Api::CILIUM_IDENTITIES.name("", &number.0.to_string()),
            Err(error) => return Err(error),
        };
        let Some(item) = client.get(Api::CILIUM_IDENTITIES, &exists).await? else {
            continue;
        };
        let read: Value = item.read().unwrap_or_default();
        if read["security-labels"] == json!(labels) {
            return Ok(Done::Identity(item));
        }
    }
    Ok(Done::NoRoom)
}

fn identity(number: Identity, labels: &LabelMap) -> Value {
    const NAMESPACE: &str = "io.kubernetes.pod.namespace";
    let namespace = labels.get(&format!("k8s:{NAMESPACE}"));
    json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumIdentity",
        "metadata": {
            "name": number.0.to_string(),
            "labels": {NAMESPACE: namespace},
        },
        "security-labels": labels,
    })
}

async fn write_record(
    client: &Client,
    name: &ObjectName,
    object: &Value,
    exists: bool,
) -> Result<Done, Error> {
    const API: Api = Api::CILIUM_ENDPOINTS;
    let first = match exists {
        true => client.patch(API, name, object).await,
        false => client.create(API, &name.namespace, object).await,
    };
    let written = match first {
        Err(Error::Exists { .. }) => client.patch(API, name, object).await,
        // Its namespace may be gone as well: then the pod goes too.
        Err(Error::NotFound { .. }) => client.create(API, &name.namespace, object).await,
        first => first,
    };
    written.map(Done::Record)
}
