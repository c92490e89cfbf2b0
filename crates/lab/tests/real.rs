//! Real servers behind a service of two meshed clusters, asked by real clients: nginx, curl and wrk of the machine itself.
//!
//! Needs root, the built programs, a container runtime, helm, nginx and wrk, and says so.

mod support;

use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, time::Duration};
use support::{kubernetes::Cluster, user::User, wait_until};

const CONTEXTS: [&str; 2] = ["cluster1", "cluster2"];
const PATIENCE: Duration = Duration::from_secs(90);
const CALLS: usize = 100;

fn configuration(cluster: &str) -> String {
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders: String = folders
        .iter()
        .map(|name| format!("{name}_temp_path /tmp/{name};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid /tmp/nginx.pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\n{folders}access_log off;\nkeepalive_requests 100000;\nserver {{\nlisten 8080 backlog=4096;\n\
         location / {{ return 200 \"{cluster} $remote_addr\\n\"; }}\n}}\n}}\n"
    )
}

/// A container that sees the programs of its node's disk.
fn pod(command: &[&str]) -> Value {
    let paths = ["/usr", "/lib", "/lib64", "/etc/passwd", "/etc/group"];
    let volume = |path: &&str| json!({"name": path.replace('/', ""), "hostPath": {"path": path}});
    let mount =
        |path: &&str| json!({"name": path.replace('/', ""), "mountPath": path, "readOnly": true});
    let mut volumes: Vec<Value> = paths.iter().map(volume).collect();
    volumes.push(json!({"name": "conf", "configMap": {"name": "conf"}}));
    let mut mounts: Vec<Value> = paths.iter().map(mount).collect();
    mounts.push(json!({"name": "conf", "mountPath": "/conf"}));
    json!({
        "terminationGracePeriodSeconds": 1,
        "volumes": volumes,
        "containers": [{
            "name": "real",
            "image": "tombolo.io/shell:1",
            "imagePullPolicy": "Never",
            "command": command,
            "volumeMounts": mounts,
        }],
    })
}

fn furnish(cluster: &Cluster, name: &str) {
    cluster.apply(&json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "conf"},
        "data": {"nginx.conf": configuration(name)},
    }));
    cluster.apply(&json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "my-backend"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "my-backend"}},
            "template": {
                "metadata": {"labels": {"app": "my-backend"}},
                "spec": pod(&["/usr/sbin/nginx", "-c", "/conf/nginx.conf"]),
            },
        },
    }));
    cluster.apply(&json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "my-backend-service",
            "annotations": {"io.cilium/global-service": "true"},
        },
        "spec": {
            "type": "NodePort",
            "selector": {"app": "my-backend"},
            "ports": [{"port": 80, "targetPort": 8080}],
        },
    }));
    cluster.apply(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "caller"},
        "spec": pod(&["sleep", "100000"]),
    }));
    cluster.run("rollout status deployment/my-backend --timeout=90s");
    cluster.run("wait --for=condition=Ready pod/caller --timeout=60s");
}

/// Requests, none of which failed.
fn requests(said: &str) -> u64 {
    assert!(!said.contains("Socket errors"), "{said}");
    assert!(!said.contains("Non-2xx"), "{said}");
    let line = said.lines().find(|line| line.contains("requests in"));
    let line = line.unwrap_or_else(|| panic!("no count: {said}"));
    let rate = said.lines().find(|line| line.contains("Requests/sec"));
    eprintln!("{} ({})", line.trim(), rate.unwrap_or_default().trim());
    let count = line.split_whitespace().next().expect("a word");
    count.parse().expect("a number")
}

#[test]
#[ignore = "needs nginx and wrk, which CI's machines lack: apt-get install nginx wrk"]
fn nginx_answers_curl_and_wrk_from_both_clusters() {
    for program in ["/usr/sbin/nginx", "/usr/bin/wrk"] {
        assert!(
            Path::new(program).is_file(),
            "{program} is not there: apt-get install nginx wrk"
        );
    }
    let user = User::with("real", "--pod-ranges 11.0.0.0/8,12.0.0.0/8");
    user.connects(CONTEXTS);
    let clusters = CONTEXTS.map(|context| Cluster::of(&user.lab, context));
    for (cluster, name) in clusters.iter().zip(CONTEXTS) {
        furnish(cluster, name);
    }
    // The port is said, since a pod has no list of the names of ports, and wrk asks for one.
    let url = "http://my-backend-service.default.svc.cluster.local:80/";
    // A connection for each call, which curl would share.
    let close = "-H Connection:close";
    let call = format!("exec caller -- curl -sS -m 5 {close} {url}?[1-{CALLS}]");
    let mut shares = BTreeMap::new();
    wait_until("answers of both clusters", PATIENCE, || {
        shares.clear();
        for line in clusters[0].run(&call).lines() {
            let cluster = line.split(' ').next().unwrap_or_default().to_owned();
            *shares.entry(cluster).or_insert(0) += 1;
        }
        shares.len() == 2
    });
    assert_eq!(shares.values().sum::<usize>(), CALLS, "{shares:?}");
    eprintln!("{CALLS} calls by curl: {shares:?}");

    let wrk = "wrk -t 1 -c 20 -d 3s";
    for words in [
        format!("exec caller -- {wrk} {url}"),
        format!("exec caller -- {wrk} {close} {url}"),
    ] {
        assert!(requests(&clusters[0].run(&words)) > 1000, "{words}");
    }
    // From outside, answered by the other cluster alone.
    clusters[0].run("scale deployment/my-backend --replicas=0");
    let service = clusters[0].json("get service my-backend-service");
    let port = &service["spec"]["ports"][0]["nodePort"];
    let node = clusters[0].json("get node c1-n1");
    let address = node["status"]["addresses"][0]["address"].as_str();
    let url = format!("http://{}:{port}/", address.expect("an address"));
    wait_until("the other cluster to answer alone", PATIENCE, || {
        let call = format!("exec world -- curl -sS -m 5 {close} {url}?[1-20]");
        let said = user.lab.run(&call);
        said.lines().all(|line| line.starts_with("cluster2 "))
    });
    for words in [
        format!("exec world -- {wrk} {url}"),
        format!("exec world -- {wrk} {close} {url}"),
    ] {
        assert!(requests(&user.lab.run(&words)) > 1000, "{words}");
    }
}
