//! Questions for names, asked by the real `dig` in a pod's network, and by what pods' own resolvers make of them.

use super::{
    Lab,
    calls::while_calling,
    kubernetes::{Cluster, Pod, kill_agent, network_name},
    wait_until,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);
const SERVER: &str = "172.20.0.10";
/// Of a service that has nothing but addresses.
const MANY: usize = 100;

/// A pod that asks.
pub struct Asker<'a> {
    lab: &'a Lab,
    cluster: &'a Cluster,
    pod: &'a Pod,
    network: String,
}

/// What `dig` was told.
#[derive(Debug)]
struct Told {
    status: String,
    flags: String,
    /// Kind and data.
    answers: BTreeSet<String>,
    text: String,
}

impl<'a> Asker<'a> {
    pub fn new(lab: &'a Lab, cluster: &'a Cluster, pod: &'a Pod) -> Asker<'a> {
        let network = network_name(lab, pod);
        let asker = Asker {
            lab,
            cluster,
            pod,
            network,
        };
        wait_until("CoreDNS", PATIENCE, || {
            let slices = cluster.json("get deployment coredns -n kube-system");
            slices["status"]["readyReplicas"] == 1
        });
        wait_until("questions that are led to the agent", PATIENCE, || {
            asker.count("servers") == 1 && asker.is_led()
        });
        asker
    }

    fn status(&self) -> Value {
        let output = self.lab.try_tombolo(&self.pod.node, "status -o json");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn count(&self, what: &str) -> u64 {
        self.status()["names"][what].as_u64().unwrap_or_default()
    }

    fn is_led(&self) -> bool {
        let addresses = &self.status()["names"]["addresses"];
        addresses.as_array().is_some_and(|all| all.len() == 2)
    }

    fn dig(&self, words: &str) -> Told {
        let asked = words;
        let at = if words.contains('@') {
            ""
        } else {
            "@172.20.0.10"
        };
        let words = format!(
            "exec {} -- nsenter --net=/run/netns/{} dig +tries=2 +time=3 {at} {words}",
            self.pod.node, self.network
        );
        let text = self.lab.run(&words);
        let after = |mark: &str, end: char| {
            let (_, rest) = text.split_once(mark).unwrap_or(("", ""));
            rest.split(end).next().unwrap_or_default().to_owned()
        };
        let (_, section) = text.split_once(";; ANSWER SECTION:\n").unwrap_or_default();
        let answers = section.lines().take_while(|line| !line.is_empty());
        let answers = answers.map(|line| {
            let parts: Vec<&str> = line.split_whitespace().skip(3).collect();
            parts.join(" ")
        });
        let told = Told {
            status: after("status: ", ','),
            flags: after(";; flags: ", ';'),
            answers: answers.collect(),
            text,
        };
        self.write_down(asked, &told);
        told
    }

    /// The transcript, for people.
    fn write_down(&self, asked: &str, told: &Told) {
        let answers: Vec<&str> = told.answers.iter().take(4).map(String::as_str).collect();
        let (count, answers) = (told.answers.len(), answers.join(", "));
        eprintln!("dig {asked}: {} {count} {answers}", told.status);
    }

    #[track_caller]
    fn has(&self, words: &str, expected: &[&str]) {
        let told = self.dig(words);
        let expected: BTreeSet<String> = expected.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(told.answers, expected, "{words}: {}", told.text);
        assert_eq!(told.status, "NOERROR", "{words}: {}", told.text);
    }

    #[track_caller]
    fn has_not(&self, words: &str, status: &str) {
        let told = self.dig(words);
        assert_eq!(told.status, status, "{words}: {}", told.text);
        assert!(told.answers.is_empty(), "{words}: {}", told.text);
        assert!(told.text.contains("SOA"), "{words}: {}", told.text);
    }
}

/// In each cluster a headless service with pods that have names, and some that only one of them has.
pub fn furnish(first: &Cluster, second: &Cluster) {
    for (cluster, replicas) in [(first, 1), (second, 2)] {
        cluster.apply(&headless("db", json!({"app": "db"})));
        cluster.apply(&stateful_set(replicas));
    }
    let far = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "far", "annotations": {"service.cilium.io/global": "true"}},
        "spec": {"selector": {"app": "echo"}, "ports": [{"name": "http", "port": 8080}]},
    });
    second.apply(&far);
    first.apply(&json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "away"},
        "spec": {"type": "ExternalName", "externalName": "host.lab.test"},
    }));
    first.apply(&headless("many", Value::Null));
    let endpoints: Vec<Value> = (1..=MANY)
        .map(|last| json!({"addresses": [format!("198.18.0.{last}")]}))
        .collect();
    first.apply(&json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "many-1", "labels": {"kubernetes.io/service-name": "many"}},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080}],
    }));
    for cluster in [first, second] {
        cluster.run("rollout status statefulset/db --timeout=90s");
    }
}

fn headless(name: &str, selector: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "annotations": {"service.cilium.io/global": "true"}},
        "spec": {
            "clusterIP": "None",
            "ipFamilyPolicy": "PreferDualStack",
            "selector": selector,
            "ports": [{"name": "http", "port": 8080}],
        },
    })
}

fn stateful_set(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": Cluster::lone_echo(),
            },
        },
    })
}

/// A pod's addresses, IPv4 first.
fn addresses(cluster: &Cluster, pod: &str) -> [String; 2] {
    let pod = cluster.json(&format!("get pod {pod}"));
    let ips = pod["status"]["podIPs"].as_array().expect("addresses");
    let text = |index: usize| ips[index]["ip"].as_str().unwrap_or_default().to_owned();
    [text(0), text(1)]
}

fn reverse(v4: &str) -> String {
    let parts: Vec<&str> = v4.split('.').rev().collect();
    format!("{}.in-addr.arpa", parts.join("."))
}

/// Every form of name, every kind of record.
pub fn names_are_answered(asker: &Asker<'_>, second: &Cluster) {
    let service = asker.cluster.json("get service echo");
    let ip = |index: usize| {
        service["spec"]["clusterIPs"][index]
            .as_str()
            .expect("an address")
    };
    let [own, far_0, far_1] = [(asker.cluster, "db-0"), (second, "db-0"), (second, "db-1")]
        .map(|(cluster, pod)| addresses(cluster, pod));
    let here = "default.svc.cluster.local";
    wait_until("the other cluster's pods", PATIENCE, || {
        asker.dig(&format!("A db.{here}")).answers.len() == 3
    });
    let before = asker.count("answered");
    let own_name = format!("db-0.db.{here}");
    let far_name = |pod| format!("{pod}.cluster2.db.default.svc.clusterset.local");
    let a = |addresses: &[String; 2]| format!("A {}", addresses[0]);
    let aaaa = |addresses: &[String; 2]| format!("AAAA {}", addresses[1]);
    asker.has(&format!("A echo.{here}"), &[&format!("A {}", ip(0))]);
    asker.has(&format!("AAAA echo.{here}"), &[&format!("AAAA {}", ip(1))]);
    asker.has("A kubernetes.default.svc.cluster.local", &["A 172.20.0.1"]);
    asker.has(
        &format!("SRV _http._tcp.echo.{here}"),
        &[&format!("SRV 0 100 80 echo.{here}.")],
    );
    asker.has(
        &format!("PTR {}", reverse(ip(0))),
        &[&format!("PTR echo.{here}.")],
    );
    asker.has(&format!("-x {}", ip(1)), &[&format!("PTR echo.{here}.")]);
    asker.has(&format!("A db.{here}"), &[&a(&own), &a(&far_0), &a(&far_1)]);
    asker.has(
        &format!("AAAA db.{here}"),
        &[&aaaa(&own), &aaaa(&far_0), &aaaa(&far_1)],
    );
    asker.has(&format!("A {own_name}"), &[&a(&own)]);
    asker.has(&format!("AAAA {own_name}"), &[&aaaa(&own)]);
    asker.has(&format!("A db-1.db.{here}"), &[&a(&far_1)]);
    asker.has(&format!("A {}", far_name("db-0")), &[&a(&far_0)]);
    let own_in_set = "db-0.cluster1.db.default.svc.clusterset.local";
    asker.has(&format!("A {own_in_set}"), &[&a(&own)]);
    let targets = [own_name.clone(), far_name("db-0"), far_name("db-1")];
    let targets = targets.map(|name| format!("SRV 0 100 8080 {name}."));
    asker.has(
        &format!("SRV _http._tcp.db.{here}"),
        &[&targets[0], &targets[1], &targets[2]],
    );
    asker.has(&format!("-x {}", own[0]), &[&format!("PTR {own_name}.")]);
    asker.has(
        &format!("-x {}", far_1[1]),
        &[&format!("PTR {}.", far_name("db-1"))],
    );
    asker.has_not(&format!("A nobody.{here}"), "NXDOMAIN");
    asker.has_not(&format!("A db-7.db.{here}"), "NXDOMAIN");
    asker.has_not(&format!("A www.example.com.{here}"), "NXDOMAIN");
    asker.has_not(&format!("TXT echo.{here}"), "NOERROR");
    // Services that only the other cluster has.
    let far = second.pods();
    let far: Vec<String> = far.iter().map(|pod| format!("A {}", pod.address)).collect();
    let far: Vec<&str> = far.iter().map(String::as_str).collect();
    asker.has(&format!("A far.{here}"), &far);
    asker.has("A far.default.svc.clusterset.local", &far);
    asker.has(&format!("+tcp A far.{here}"), &far);
    let v6 = asker.cluster.json("get service kube-dns -n kube-system");
    let v6 = v6["spec"]["clusterIPs"][1].as_str().expect("an address");
    asker.has(&format!("@{v6} A far.{here}"), &far);
    assert!(
        asker.count("answered") >= before + 24,
        "the agent has answered"
    );
    questions_have_room(asker, here);
}

fn questions_have_room(asker: &Asker<'_>, here: &str) {
    for (words, fits) in [
        ("+noedns", 512),
        ("+bufsize=900", 900),
        ("+bufsize=4096", 1232),
    ] {
        let told = asker.dig(&format!("+ignore {words} A many.{here}"));
        assert!(told.flags.contains("tc"), "{told:?}");
        // Each takes sixteen bytes.
        let (few, many) = (fits / 16 - 6, fits / 16);
        assert!((few..many).contains(&told.answers.len()), "{told:?}");
        let all = asker.dig(&format!("{words} A many.{here}"));
        assert_eq!(all.answers.len(), MANY, "by TCP: {all:?}");
    }
}

/// What is no service's is CoreDNS'.
pub fn the_rest_is_forwarded(asker: &Asker<'_>) {
    let before = asker.count("forwarded");
    asker.has("A host.lab.test", &["A 192.0.2.53"]);
    asker.has("+tcp A host.lab.test", &["A 192.0.2.53"]);
    asker.has("A 198-18-0-1.default.pod.cluster.local", &["A 198.18.0.1"]);
    let away = asker.dig("A away.default.svc.cluster.local");
    assert!(away.answers.contains("CNAME host.lab.test."), "{away:?}");
    assert!(
        !asker
            .dig("TXT dns-version.cluster.local")
            .answers
            .is_empty()
    );
    assert_eq!(asker.dig("A nobody.example").status, "NXDOMAIN");
    assert!(asker.count("forwarded") >= before + 6);
}

/// By search lists, of the C library and of busybox, and from the node itself.
pub fn resolvers_understand(asker: &Asker<'_>) {
    let exec = |words: &str| {
        asker
            .cluster
            .run(&format!("exec {} -c {words}", asker.pod.name))
    };
    for name in [
        "echo",
        "echo.default",
        "echo.default.svc",
        "echo.default.svc.cluster.local",
    ] {
        let said = exec(&format!("echo -- tombolo lab ask http://{name}/"));
        assert!(said.contains("cluster"), "{name}: {said}");
    }
    let echo = asker.cluster.pods();
    let shell = format!("exec {} -c shell -- ", echo[0].name);
    for (name, expected) in [("db-0.db", "db-0.db"), ("host.lab.test", "192.0.2.53")] {
        // It goes through the whole search list, and fails when one name of it is not there.
        let output = asker.cluster.try_run(&format!("{shell}nslookup {name}"));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(expected), "{said}");
        assert!(
            said.contains(SERVER),
            "who answers is who was asked: {said}"
        );
    }
    let words = format!(
        "exec {} -- dig +short @{SERVER} kubernetes.default.svc.cluster.local",
        asker.pod.node
    );
    assert_eq!(asker.lab.run(&words).trim(), "172.20.0.1");
}

/// While it restarts, CoreDNS is asked: nobody notices.
pub fn the_agent_may_be_killed(asker: &Asker<'_>) {
    let url = "http://echo.default.svc.cluster.local/";
    let calls = while_calling(asker.cluster, &asker.pod.name, url, || {
        kill_agent(asker.lab, &asker.pod.node);
        wait_until("another agent", PATIENCE, || {
            asker.is_led() && asker.count("answered") > 10
        });
    });
    let failed: Vec<_> = calls.iter().filter(|call| call.error.is_some()).collect();
    let slowest = calls.iter().map(|call| call.took).max().unwrap_or_default();
    eprintln!(
        "agent killed: {} look-ups, the slowest took {slowest:?}",
        calls.len()
    );
    assert!(failed.is_empty(), "{failed:?}");
    assert!(calls.len() >= 200);
}

/// Pods of a cluster that does not answer are left out where there are others, and are there again.
pub fn lost(asker: &Asker<'_>, is_lost: bool) {
    let expected = if is_lost { 1 } else { 3 };
    wait_until("names without those that are lost", PATIENCE, || {
        let told = asker.dig("A db.default.svc.cluster.local");
        assert_eq!(told.status, "NOERROR", "{told:?}");
        told.answers.len() == expected
    });
    // Who has no other is told all the same: somebody may be there.
    assert_eq!(
        asker
            .dig("A db-1.db.default.svc.cluster.local")
            .answers
            .len(),
        1
    );
}
