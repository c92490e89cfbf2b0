//! What happens to a mesh that lives: nodes come and go, agents are replaced under traffic, a cluster gets another number.
//!
//! Each part takes two connected clusters with pods of the echo server, and leaves them so.

use super::{
    kubernetes::{Cluster, Pod, network_of},
    pods,
    traffic::flood,
    user::User,
    wait_until,
};
use serde_json::Value;
use std::{thread, time::Duration};

const PATIENCE: Duration = Duration::from_secs(90);
const CONTEXTS: [&str; 2] = ["cluster1", "cluster2"];
const CONNECT: &str = "clustermesh connect --context cluster1 --destination-context cluster2";
const PODS: usize = 40;
const NODES: [&str; 4] = ["c1-n1", "c1-n2", "c2-n1", "c2-n2"];

/// A node joins, and its pods reach all and are reached. Then it is drained and deleted, and nobody knows anything of it.
pub fn a_node_comes_and_goes(user: &User) {
    let [one, two] = CONTEXTS.map(|context| Cluster::of(&user.lab, context));
    let added = user.lab.run("node add cluster1 -o json");
    let added: Value = serde_json::from_str(&added).unwrap();
    assert_eq!(added["name"], "c1-n3", "{added}");
    one.deploy_echo(3);
    let pods = one.pods();
    let here = pods.iter().find(|pod| pod.node == "c1-n3");
    let here = here.unwrap_or_else(|| panic!("one on each node: {pods:?}"));
    for there in two.pods() {
        answers(&one, here, &there);
        answers(&two, &there, here);
    }
    let object = one.json("get ciliumnode c1-n3");
    let ranges: Vec<String> =
        serde_json::from_value(object["spec"]["ipam"]["podCIDRs"].clone()).unwrap();
    assert_eq!(ranges.len(), 2, "{object}");
    let addresses: Vec<String> = serde_json::from_value(added["addresses"].clone()).unwrap();
    for node in NODES {
        let known = knowledge(user, node);
        for word in ranges.iter().chain(&addresses).chain([&here.address]) {
            assert!(known.contains(word), "{node} knows {word}: {known}");
        }
    }

    one.run("drain c1-n3 --ignore-daemonsets --force --grace-period=1 --timeout=60s");
    one.run("delete node c1-n3");
    // Faults of its wire leave nothing either.
    user.lab.run("mtu c1-n3 1400");
    user.lab.run("delay c1-n3 1");
    user.lab.run("node delete c1-n3");
    one.run("scale deployment/echo --replicas=2");
    wait_until("its description to go", PATIENCE, || {
        !one.try_run("get ciliumnode c1-n3").status.success()
    });
    let gone = [
        &["c1-n3".to_owned(), here.address.clone()][..],
        &ranges,
        &addresses,
    ]
    .concat();
    for node in NODES {
        wait_until(&format!("{node} to forget it"), PATIENCE, || {
            let known = knowledge(user, node);
            !gone.iter().any(|word| known.contains(&format!("{word}\n")))
        });
    }
    let remains = user.lab.remains();
    assert!(
        !remains.iter().any(|path| path.contains("c1-n3")),
        "{remains:?}"
    );
    let links = user.lab.run("exec c1 -- ip -brief link");
    assert!(!links.contains("n3"), "{links}");
    one.run("rollout status deployment/echo --timeout=90s");
    assert!(user.lab.run("node delete c1-n3").contains("not there"));
}

/// All that an agent and its node's kernel know of nodes and addresses, a word in each line.
fn knowledge(user: &User, node: &str) -> String {
    let nodes: Value = serde_json::from_str(&user.lab.tombolo(node, "node list -o json")).unwrap();
    let nodes = nodes.as_array().expect("nodes are a list").iter();
    let of = |node: &Value, key: &str| -> Vec<String> {
        serde_json::from_value(node[key].clone()).unwrap_or_default()
    };
    let nodes = nodes.flat_map(|node| {
        let name = node["name"].as_str().unwrap_or_default().to_owned();
        [of(node, "addresses"), of(node, "pod_ranges"), vec![name]].concat()
    });
    let prefixes: Value = serde_json::from_str(&user.lab.tombolo(node, "ip list -o json")).unwrap();
    let prefixes = prefixes.as_array().expect("addresses are a list").iter();
    let prefixes = prefixes.map(|one| one["prefix"].as_str().unwrap_or_default().to_owned());
    let prefixes = prefixes.flat_map(|prefix| {
        let host = prefix
            .trim_end_matches("/32")
            .trim_end_matches("/128")
            .to_owned();
        [prefix, host]
    });
    let routes = ["-4", "-6"].map(|family| {
        user.lab
            .run(&format!("exec {node} -- ip {family} route show table all"))
    });
    let routes = routes.iter().flat_map(|text| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    nodes
        .chain(prefixes)
        .chain(routes)
        .map(|word| word + "\n")
        .collect()
}

/// Agents of both clusters are replaced by those of another revision, under traffic between them.
pub fn agents_are_upgraded_without_a_loss(user: &User) {
    let line = "tombolo upgrade --context CONTEXT --set podAnnotations.try=again --wait";
    agents_are_replaced_without_a_loss(user, line);
}

/// The same by those of the revision before.
pub fn agents_are_rolled_back_without_a_loss(user: &User) {
    let line = "helm rollback tombolo --kube-context CONTEXT --namespace kube-system --wait";
    agents_are_replaced_without_a_loss(user, line);
}

fn agents_are_replaced_without_a_loss(user: &User, line: &str) {
    let clusters = CONTEXTS.map(|context| Cluster::of(&user.lab, context));
    let pods = clusters.each_ref().map(|cluster| cluster.pods().remove(0));
    let [from, to] = pods.each_ref().map(|pod| network_of(&user.lab, pod));
    let target = pods[1].address.parse().unwrap();
    let agents = || {
        let of = |cluster: &Cluster| {
            cluster.run(
                "-n kube-system get pods -l app.kubernetes.io/name=tombolo \
                 --field-selector spec.nodeName!=c1-n3 -o name",
            )
        };
        clusters.each_ref().map(of)
    };
    let flooded = flood(&from, &to, target, || {
        let before = agents();
        thread::scope(|scope| {
            for context in CONTEXTS {
                let line = line.replace("CONTEXT", context);
                scope.spawn(move || user.types(&line));
            }
        });
        // Those that end stay listed for a while.
        wait_until("the last of the former agents to go", PATIENCE, || {
            let now = agents();
            let mut before = before.iter().flat_map(|of_cluster| of_cluster.lines());
            !before.any(|agent| now.iter().any(|now| now.contains(agent)))
        });
    });
    assert!(flooded.pings > 1000 && flooded.streamed > 0, "{flooded:?}");
    assert_eq!(flooded.lost, 0, "{flooded:?}");
    eprintln!("{flooded:?}");
}

/// A cluster is taken out of the mesh, comes back under another number, and nobody knows the old one any more.
pub fn a_cluster_gets_another_number(user: &User) {
    let clusters = CONTEXTS.map(|context| Cluster::of(&user.lab, context));
    user.does("clustermesh disconnect --context cluster1 --destination-context cluster2");
    what_clashes_is_refused(user, &clusters);
    user.does(CONNECT);
    user.is_well(CONTEXTS);
    let [one, two] = clusters.each_ref().map(Cluster::pods);
    answers(&clusters[0], &one[0], &two[0]);
    answers(&clusters[1], &two[0], &one[0]);
    let old = 2 << 16..3 << 16;
    for node in NODES {
        let nodes: Value =
            serde_json::from_str(&user.lab.tombolo(node, "node list -o json")).unwrap();
        let nodes = nodes.as_array().expect("nodes are a list");
        assert!(
            nodes.iter().all(|node| node["cluster_id"] != 2),
            "{node}: {nodes:#?}"
        );
        let known: Value =
            serde_json::from_str(&user.lab.tombolo(node, "ip list -o json")).unwrap();
        let known = known.as_array().expect("addresses are a list");
        let stale = known.iter().find(|one| {
            one["identity"]
                .as_u64()
                .is_some_and(|number| old.contains(&number))
        });
        assert_eq!(stale, None, "{node}");
    }
    wait_until("identities of the old number to end", PATIENCE, || {
        let names = clusters[1].run("get ciliumidentities -o name");
        let mut numbers = names
            .lines()
            .filter_map(|name| name.rsplit('/').next()?.parse().ok());
        !numbers.any(|number: u64| old.contains(&number))
    });
}

/// The second cluster, parted, gets the number of the first one, then its pods' addresses, and last a number of its own.
fn what_clashes_is_refused(user: &User, clusters: &[Cluster; 2]) {
    let pool = "ipam.operator.clusterPoolIPv4PodCIDRList";
    let refuses = |expected: &str| {
        let output = user.tombolo(CONNECT);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(expected),
            "{said}"
        );
        for cluster in clusters {
            let meshes = cluster.json("get clustermeshes");
            assert!(!meshes.to_string().contains("-secret"), "{meshes}");
        }
    };
    user.does("upgrade --context cluster2 --set cluster.id=1 --wait");
    refuses("cluster1 and cluster2 have the same id, 1");
    user.does(&format!(
        "upgrade --context cluster2 --set cluster.id=7 --set {pool}={{11.0.0.0/8}} --wait"
    ));
    refuses("cluster1 has its pool 11.0.0.0/8, and cluster2 its pool 11.0.0.0/8");
    user.does(&format!(
        "upgrade --context cluster2 --set {pool}={{12.0.0.0/8}} --wait"
    ));
}

/// More pods than nodes hold otherwise come and go, and nothing is left of them.
pub fn pods_come_and_go(user: &User) {
    let times = pods::come_and_go(user, PODS, PODS);
    eprintln!("{}", times.table());
    pods::the_kernel_holds_no_more_than_is_wanted(user);
}

fn answers(cluster: &Cluster, from: &Pod, to: &Pod) {
    let answer = cluster.ask(from, &format!("tcp://{}", to.address));
    assert_eq!(answer["pod"], to.name, "{answer}");
    assert_eq!(answer["from"], from.address, "{answer}");
}
