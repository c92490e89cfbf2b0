//! Many pods that come and go: how soon each answers the other cluster, and what is left of them.

use super::{
    kubernetes::{Cluster, network_of},
    traffic::{echo_request, icmp_socket, is_reply},
    user::User,
    wait_until,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::IpAddr,
    process::{Child, ChildStdout, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const CONTEXTS: [&str; 2] = ["cluster1", "cluster2"];
const PATIENCE: Duration = Duration::from_secs(180);
const PING_EVERY: Duration = Duration::from_millis(5);
const ROLES: [&str; 5] = ["agent", "operator", "apiserver", "kvstoremesh", "store"];

/// How long after its object was made something was true of a pod.
#[derive(Default)]
pub struct Times {
    /// Its address was known to Kubernetes.
    addressed: Vec<Duration>,
    /// A ping from the other cluster was answered.
    answered: Vec<Duration>,
    /// Kubelet said that it runs.
    running: Vec<Duration>,
}

/// Makes and deletes so many pods in both clusters, wave after wave, and sees that nothing is left of them. The operators must
/// end identities soon.
pub fn come_and_go(user: &User, total: usize, wave: usize) -> Times {
    let clusters = CONTEXTS.map(|context| Cluster::of(&user.lab, context));
    let pingers = clusters
        .each_ref()
        .map(|cluster| network_of(&user.lab, &cluster.pods()[0]));
    // What an upgrade has replaced is listed for a while.
    wait_until("pods that go to be gone", PATIENCE, || {
        !clusters.iter().any(any_pod_goes)
    });
    let before = left(user, &clusters);
    let mut times = Times::default();
    for number in 0..total.div_ceil(wave) {
        let count = wave.min(total - number * wave);
        let halves = [count / 2, count - count / 2];
        thread::scope(|scope| {
            let parts = [0, 1].map(|index| {
                let (cluster, pinger) = (&clusters[index], &pingers[1 - index]);
                scope.spawn(move || measure(cluster, pinger, number, halves[index]))
            });
            for part in parts {
                let part = part
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                times.addressed.extend(part.addressed);
                times.answered.extend(part.answered);
                times.running.extend(part.running);
            }
        });
    }
    assert_eq!(times.answered.len(), total);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = left(user, &clusters);
        if now == before {
            break;
        }
        let different = now
            .iter()
            .filter(|(what, count)| before.get(*what) != Some(count));
        let words = different
            .map(|(what, count)| format!("{what}: {:?} then, {count} now\n", before.get(what)));
        assert!(
            Instant::now() < deadline,
            "something is left:\n{}",
            words.collect::<String>()
        );
        thread::sleep(Duration::from_millis(500));
    }
    times
}

fn any_pod_goes(cluster: &Cluster) -> bool {
    let list = cluster.json("get pods -A");
    let mut pods = list["items"].as_array().into_iter().flatten();
    pods.any(|pod| pod["metadata"]["deletionTimestamp"].is_string())
}

/// What there may be more of afterwards than before, each with its count.
fn left(user: &User, clusters: &[Cluster; 2]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for node in ["c1-n1", "c1-n2", "c2-n1", "c2-n2"] {
        let mut count = |what: &str, number: u64| counts.insert(format!("{node}: {what}"), number);
        let status: Value =
            serde_json::from_str(&user.lab.tombolo(node, "status -o json")).unwrap();
        for what in ["endpoints", "addresses", "nodes", "pending", "kept"] {
            count(what, status[what].as_u64().unwrap_or(0));
        }
        count(
            "free addresses",
            status["free_addresses"]["ipv4"].as_u64().unwrap_or(0),
        );
        for peer in status["peers"].as_array().into_iter().flatten() {
            for (kind, number) in peer["records"].as_object().into_iter().flatten() {
                count(
                    &format!("records of {kind} in the mesh's store"),
                    number.as_u64().unwrap_or(0),
                );
            }
        }
        let identities: Value =
            serde_json::from_str(&user.lab.tombolo(node, "identity list -o json")).unwrap();
        count(
            "identities",
            identities.as_array().map_or(0, |all| all.len() as u64),
        );
        let networks = fs::read_dir(format!("/proc/{}/root/run/netns", user.lab.init_pid(node)));
        count(
            "network namespaces",
            networks.map_or(0, |all| all.count() as u64),
        );
        for (what, words) in [
            ("devices", "link"),
            ("routes", "route show table all"),
            ("IPv6 routes", "-6 route show table all"),
        ] {
            let lines = user.lab.run(&format!("exec {node} -- ip -o {words}"));
            count(what, lines.lines().count() as u64);
        }
    }
    for (context, cluster) in CONTEXTS.iter().zip(clusters) {
        for kind in ["pods", "ciliumendpoints", "ciliumidentities", "ciliumnodes"] {
            let lines = cluster.run(&format!("get {kind} -A -o name"));
            counts.insert(format!("{context}: {kind}"), lines.lines().count() as u64);
        }
    }
    counts
}

/// An agent that starts says how much it found in the kernel's maps: that must be what the one before knew of.
pub fn the_kernel_holds_no_more_than_is_wanted(user: &User) {
    let clusters = CONTEXTS.map(|context| Cluster::of(&user.lab, context));
    let status = |node: &str| -> Value {
        serde_json::from_str(&user.lab.tombolo(node, "status -o json")).unwrap()
    };
    let nodes = [["c1-n1", "c1-n2"], ["c2-n1", "c2-n2"]];
    let before = nodes.map(|of| of.map(status));
    for cluster in &clusters {
        cluster.run("-n kube-system rollout restart daemonset/tombolo");
    }
    for (cluster, (names, before)) in clusters.iter().zip(nodes.iter().zip(before)) {
        cluster.run("-n kube-system rollout status daemonset/tombolo --timeout=90s");
        for (node, before) in names.iter().zip(before) {
            let pod = cluster.run(&format!(
                "-n kube-system get pods -l app.kubernetes.io/name=tombolo --field-selector spec.nodeName={node},status.phase=Running -o name"
            ));
            let log = cluster.run(&format!("-n kube-system logs {} -c agent", pod.trim()));
            let found = log.lines().find(|line| line.contains("recovered"));
            let found = found.unwrap_or_else(|| panic!("{node} recovered nothing: {log}"));
            for what in ["endpoints", "addresses"] {
                let word = format!("{what}={}", before[what]);
                assert!(
                    found.split_whitespace().any(|found| found == word),
                    "{node}: {found}, but {word}"
                );
            }
        }
    }
}

/// A wave in one cluster, pinged from the other one.
fn measure(cluster: &Cluster, pinger: &super::Pod, wave: usize, count: usize) -> Times {
    let prefix = format!("wave{wave}-");
    let seen = Mutex::new(BTreeMap::<String, Seen>::new());
    let done = AtomicBool::new(false);
    let mut watches = [
        r#"get pods --watch -o jsonpath={.metadata.name}{"|"}{.status.phase}{"\n"}"#,
        r#"get ciliumendpoints --watch -o jsonpath={.metadata.name}{"|"}{.status.networking.addressing[0].ipv4}{"\n"}"#,
    ]
    .map(|words| cluster.command(words).stdout(Stdio::piped()).spawn().expect("kubectl starts"));
    let lines = watches
        .each_mut()
        .map(|child| child.stdout.take().expect("it is piped"));
    // A watch begins with what is there, which is the echo server.
    let begun = AtomicUsize::new(0);
    thread::scope(|scope| {
        let [pods, endpoints] = lines;
        scope.spawn(|| {
            follow(pods, &prefix, (&seen, &begun), |seen, phase, now| {
                seen.created.get_or_insert(now);
                if phase == "Running" {
                    seen.running.get_or_insert(now);
                }
            })
        });
        scope.spawn(|| {
            follow(endpoints, &prefix, (&seen, &begun), |seen, address, now| {
                if let Ok(address) = address.parse() {
                    seen.addressed.get_or_insert((now, address));
                }
            })
        });
        scope.spawn(|| ping_all(pinger, &seen, &done));
        wait_until("watches to begin", PATIENCE, || {
            begun.load(Ordering::Relaxed) == 2
        });
        create(cluster, &prefix, wave, count);
        let missing = || {
            let seen = seen.lock().unwrap();
            let whole = seen
                .values()
                .filter(|seen| seen.answered.is_some() && seen.running.is_some());
            count - whole.count()
        };
        let deadline = Instant::now() + PATIENCE;
        while missing() > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        let left = missing();
        done.store(true, Ordering::Relaxed);
        watches.iter_mut().for_each(end);
        assert_eq!(left, 0, "pods that do not answer");
    });
    cluster.run(&format!("delete pods -l wave={wave} --timeout=150s"));
    let seen = seen.into_inner().unwrap();
    let mut times = Times::default();
    for seen in seen.values() {
        let since = |then: Instant| then - seen.created.expect("a pod was made before it ran");
        times
            .addressed
            .extend(seen.addressed.map(|(then, _)| since(then)));
        times.answered.extend(seen.answered.map(since));
        times.running.extend(seen.running.map(since));
    }
    times
}

#[derive(Default)]
struct Seen {
    created: Option<Instant>,
    addressed: Option<(Instant, IpAddr)>,
    running: Option<Instant>,
    answered: Option<Instant>,
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Takes what a watch says until it is ended.
fn follow(
    lines: ChildStdout,
    prefix: &str,
    (seen, begun): (&Mutex<BTreeMap<String, Seen>>, &AtomicUsize),
    note: impl Fn(&mut Seen, &str, Instant),
) {
    for (number, line) in BufReader::new(lines)
        .lines()
        .map_while(Result::ok)
        .enumerate()
    {
        let now = Instant::now();
        begun.fetch_add(usize::from(number == 0), Ordering::Relaxed);
        if let Some((name, value)) = line
            .split_once('|')
            .filter(|(name, _)| name.starts_with(prefix))
        {
            note(
                seen.lock().unwrap().entry(name.to_owned()).or_default(),
                value,
                now,
            );
        }
    }
}

/// Pings each that has an address until it answers.
fn ping_all(from: &super::Pod, seen: &Mutex<BTreeMap<String, Seen>>, done: &AtomicBool) {
    let any = "0.0.0.0".parse().expect("an address");
    let raw = from.netns.run(|| icmp_socket(any)).unwrap();
    raw.set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let mut packet = [0; 256];
    for sequence in 0u16.. {
        let start = Instant::now();
        if done.load(Ordering::Relaxed) {
            return;
        }
        let waiting: Vec<IpAddr> = {
            let seen = seen.lock().unwrap();
            let waiting = seen.values().filter(|seen| seen.answered.is_none());
            waiting.filter_map(|seen| Some(seen.addressed?.1)).collect()
        };
        for address in waiting {
            // What has no way there yet says so, and is asked again.
            let _ = raw.send_to(&echo_request(true, sequence % 0x7fff), (address, 0));
        }
        while start.elapsed() < PING_EVERY {
            if let Ok((length, by)) = raw.recv_from(&mut packet)
                && is_reply(&packet[..length], true)
            {
                let now = Instant::now();
                let mut seen = seen.lock().unwrap();
                let mut of = seen.values_mut().filter(|seen| {
                    seen.addressed
                        .is_some_and(|(_, address)| address == by.ip())
                });
                if let Some(seen) = of.next() {
                    seen.answered.get_or_insert(now);
                }
            }
        }
    }
}

fn create(cluster: &Cluster, prefix: &str, wave: usize, count: usize) {
    let pods = (0..count).map(|number| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": format!("{prefix}{number}"), "labels": {"wave": wave.to_string()}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "shell",
                    "image": "tombolo.io/shell:1",
                    "imagePullPolicy": "Never",
                    "command": ["sleep", "100000"],
                }],
            },
        })
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": pods.collect::<Vec<_>>()});
    let mut child = cluster
        .command("create -f -")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("kubectl starts");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(list.to_string().as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
}

impl Times {
    /// A table, in milliseconds.
    pub fn table(mut self) -> String {
        let row = |name: &str, all: &mut Vec<Duration>| {
            all.sort();
            let at = |percent: usize| all[(all.len() - 1) * percent / 100].as_millis();
            format!("{name:<46} {:>8} {:>8} {:>8}\n", at(50), at(99), at(100))
        };
        let head = format!(
            "{:<46} {:>8} {:>8} {:>8}\n",
            "ms after the pod's object was made", "p50", "p99", "max"
        );
        head + &row("its address is known to Kubernetes", &mut self.addressed)
            + &row("it answers a ping of the other cluster", &mut self.answered)
            + &row("kubelet says that it runs", &mut self.running)
    }
}

/// Memory of our programs in all clusters: how many of each there are, and the largest and all of them, in MiB.
pub fn memory(user: &User) -> BTreeMap<&'static str, (usize, f64, f64)> {
    let mut all: BTreeMap<&str, (usize, f64, f64)> = BTreeMap::new();
    for pid in user.lab.pids() {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0);
        let is_ours = words
            .next()
            .is_some_and(|program| program.ends_with(b"tombolo"));
        let verb = words.next().unwrap_or_default();
        let Some(role) = ROLES
            .into_iter()
            .find(|role| is_ours && role.as_bytes() == verb)
        else {
            continue;
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        let mib = kib.unwrap_or(0.0) / 1024.0;
        let (count, largest, sum) = all.entry(role).or_default();
        (*count, *largest, *sum) = (*count + 1, largest.max(mib), *sum + mib);
    }
    all
}

/// Has the operators end identities soon after they are of no use.
pub fn end_identities_soon(user: &User) {
    for context in CONTEXTS {
        user.does(&format!(
            "upgrade --context {context} --set operator.extraArgs={{--identity-gc-after=4}}"
        ));
    }
}
