//! Every pod of a Deployment in each cluster asks every other one, over HTTP, TCP and UDP, by IPv4 and IPv6.

use super::Report;
use crate::{
    Error,
    ask::Asked,
    error::Result,
    kubernetes::{api::Api, at_once::at_once, images::ECHO, install, kubectl::Kubectl},
    state::State,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

pub const NAME: &str = "echo";
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(100);
/// How often each asks each; the table shows the median.
const TIMES: &str = "5";
const PATIENCE_EACH: &str = "1";
/// How a server is asked, and at which port it listens.
const WAYS: [(&str, u16); 3] = [("http", 8080), ("tcp", 7007), ("udp", 7007)];

/// A cell of the table.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The clusters.
    pub from: String,
    pub to: String,
    pub way: String,
    pub family: String,
    pub asked: usize,
    /// By the right pod, which saw the asker's own address.
    pub answered: usize,
    pub median_microseconds: u64,
    pub slowest_microseconds: u64,
}

#[derive(Clone, Debug)]
pub struct Pod {
    pub cluster: String,
    pub number: u8,
    pub name: String,
    pub node: String,
    pub addresses: Vec<IpAddr>,
}

/// One question of a pod's.
#[derive(Debug)]
pub struct Question<'a> {
    pub from: &'a Pod,
    pub to: &'a Pod,
    pub way: &'static str,
    pub family: &'static str,
    pub asked: Asked,
}

impl Pod {
    /// What became of the questions that it asks of whom the words say.
    pub fn ask(&self, state: &State, words: &[String]) -> Result<Vec<Asked>> {
        let ask = ["tombolo", "lab", "ask", "--output", "json"].map(str::to_owned);
        let said = Kubectl::of(state, self.number).exec(&self.name, &[&ask, words].concat())?;
        serde_json::from_str(&said).map_err(|error| Error::Tool {
            tool: format!("asking from pod {}", self.name),
            said: format!("{error}: {said}"),
        })
    }
}

pub fn check(state: &State, report: &mut Report) -> Result<Vec<Pod>> {
    let start = Instant::now();
    let pods = deploy(state)?;
    report.seen.push(format!(
        "{} pods of Deployment {NAME} are ready, one on each node, {:.1} s after they were asked for",
        pods.len(),
        start.elapsed().as_secs_f32()
    ));
    let questions = at_once(&pods, |pod| ask_all(state, pod, &pods))?;
    let questions: Vec<_> = questions.into_iter().flatten().collect();
    judge(&questions, report);
    Ok(pods)
}

/// Has a pod run on each node of each cluster.
fn deploy(state: &State) -> Result<Vec<Pod>> {
    let clusters: Vec<u8> = state.shape.clusters().collect();
    let deployed = at_once(&clusters, |cluster| {
        let api = Api::of(state, *cluster)?;
        let (nodes, _) = install::nodes(&api)?;
        let name = state.cluster_name(*cluster);
        Kubectl::of(state, *cluster).apply(&deployment(&name, nodes))?;
        wait(&api, *cluster, &name, nodes)
    });
    deployed.map(|pods| pods.concat())
}

fn deployment(cluster: &str, replicas: usize) -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let labels = json!({"app": NAME});
    let container = json!({
        "name": NAME,
        "image": ECHO,
        "imagePullPolicy": "Never",
        "env": [
            field("POD_NAME", "metadata.name"),
            field("NODE_NAME", "spec.nodeName"),
            {"name": "CLUSTER_NAME", "value": cluster},
        ],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "topologySpreadConstraints": [{
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "DoNotSchedule",
                        "labelSelector": {"matchLabels": labels},
                    }],
                    "containers": [container],
                },
            },
        },
    })
}

fn wait(api: &Api, cluster: u8, name: &str, count: usize) -> Result<Vec<Pod>> {
    let deadline = Instant::now() + PATIENCE;
    let path = format!("/api/v1/namespaces/default/pods?labelSelector=app%3D{NAME}");
    loop {
        let list = api.get(&path)?;
        let living = install::items(&list)
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .count();
        let ready: Vec<Pod> = install::items(&list)
            .filter_map(|pod| read(pod, cluster, name))
            .collect();
        if ready.len() == count && living == count {
            return Ok(ready);
        }
        if Instant::now() > deadline {
            return Err(Error::PodsNotReady {
                cluster: name.to_owned(),
                seconds: PATIENCE.as_secs(),
                what: install::waits(&list),
            });
        }
        thread::sleep(POLL);
    }
}

/// A pod that is ready, and is to stay.
fn read(pod: &Value, number: u8, cluster: &str) -> Option<Pod> {
    if !install::is_ready(pod) || !pod["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let addresses = pod["status"]["podIPs"].as_array()?.iter();
    let addresses = addresses.filter_map(|known| known["ip"].as_str()?.parse().ok());
    Some(Pod {
        cluster: cluster.to_owned(),
        number,
        name: pod["metadata"]["name"].as_str()?.to_owned(),
        node: pod["spec"]["nodeName"].as_str()?.to_owned(),
        addresses: addresses.collect(),
    })
}

/// In one call, so that its own start does not count.
fn ask_all<'a>(state: &State, from: &'a Pod, pods: &'a [Pod]) -> Result<Vec<Question<'a>>> {
    let others = pods
        .iter()
        .filter(|to| (to.number, &to.name) != (from.number, &from.name));
    let mut urls = BTreeMap::new();
    for to in others {
        for (way, port) in WAYS {
            for address in &to.addresses {
                let (host, family) = match address {
                    IpAddr::V4(address) => (address.to_string(), "v4"),
                    IpAddr::V6(address) => (format!("[{address}]"), "v6"),
                };
                urls.insert(format!("{way}://{host}:{port}"), (to, way, family));
            }
        }
    }
    let options = ["--times", TIMES, "--timeout", PATIENCE_EACH].map(str::to_owned);
    let words: Vec<String> = options.into_iter().chain(urls.keys().cloned()).collect();
    let asked = from.ask(state, &words)?;
    let questions = asked.into_iter().filter_map(|asked| {
        let (to, way, family) = *urls.get(&asked.url)?;
        Some(Question {
            from,
            to,
            way,
            family,
            asked,
        })
    });
    Ok(questions.collect())
}

/// What is wrong with the answer, if anything is.
fn trouble(question: &Question<'_>) -> Option<String> {
    let Question {
        from, to, asked, ..
    } = question;
    if let Some(error) = &asked.error {
        return Some(error.clone());
    }
    let answer = &asked.answer;
    let seen = answer["from"].as_str().and_then(|seen| seen.parse().ok());
    if answer["pod"] != to.name.as_str() || answer["cluster"] != to.cluster.as_str() {
        return Some(format!("another one answers: {answer}"));
    }
    match seen {
        Some(seen) if from.addresses.contains(&seen) => None,
        _ => Some(format!("it is seen as {}", answer["from"])),
    }
}

/// Adds a row for each way between each two clusters.
pub fn judge(questions: &[Question<'_>], report: &mut Report) {
    let mut cells: BTreeMap<_, Vec<&Question<'_>>> = BTreeMap::new();
    for question in questions {
        let Question {
            from,
            to,
            way,
            family,
            ..
        } = question;
        let cell = (from.number, to.number, *family, *way);
        cells.entry(cell).or_default().push(question);
    }
    for ((.., family, way), cell) in &cells {
        let mut times = Vec::new();
        let mut failures = BTreeSet::new();
        for question in cell {
            match trouble(question) {
                None => times.push(question.asked.microseconds),
                Some(trouble) => {
                    let Question {
                        from, to, asked, ..
                    } = question;
                    failures.insert(format!(
                        "{} ({}) → {} ({}), {}: {trouble}",
                        from.name, from.node, to.name, to.node, asked.url
                    ));
                }
            }
        }
        report.failures.extend(failures);
        times.sort_unstable();
        report.pods.push(Row {
            from: cell[0].from.cluster.clone(),
            to: cell[0].to.cluster.clone(),
            way: (*way).to_owned(),
            family: (*family).to_owned(),
            asked: cell.len(),
            answered: times.len(),
            median_microseconds: times.get(times.len() / 2).copied().unwrap_or_default(),
            slowest_microseconds: times.last().copied().unwrap_or_default(),
        });
    }
    let across = report.pods.iter().filter(|row| row.from != row.to);
    let (asked, answered) = across.fold((0, 0), |(asked, answered), row| {
        (asked + row.asked, answered + row.answered)
    });
    report.seen.push(format!(
        "{answered} of {asked} questions to pods of the other cluster were answered by the pod that was asked, which saw \
         the asker's own address"
    ));
}
