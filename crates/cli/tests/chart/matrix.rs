//! What a release has in it, over many combinations of values.

use super::*;

/// Every choice of each of these with every choice of the others.
const CHOICES: [&[&[&str]]; 5] = [
    &[&[], MESHED, &["dns.enabled=false"]],
    &[
        &[],
        &["ipv6.enabled=true"],
        &["ipv4.enabled=false", "ipv6.enabled=true"],
    ],
    &[&[], &["k8sServiceHost=192.0.2.1", "k8sServicePort=6443"]],
    &[
        &[],
        &["cni.install=false", "cni.uninstall=false"],
        &[
            "securityContext.privileged=true",
            "routingMode=native",
            "MTU=1400",
        ],
    ],
    &[
        &[],
        &["clustermesh.apiserver.hostNetwork=true"],
        &["clustermesh.apiserver.service.type=LoadBalancer"],
        &[
            "clustermesh.apiserver.replicas=2",
            r#"clustermesh.apiserver.etcd.external={"endpoints":["https://etcd:2379"],"secretName":"etcd"}"#,
        ],
    ],
];

fn combinations() -> Vec<Vec<&'static str>> {
    CHOICES.iter().fold(vec![vec![]], |all, choices| {
        let with =
            |values: &Vec<&'static str>, choice: &&[&'static str]| [values, *choice].concat();
        let each = all
            .iter()
            .flat_map(|values| choices.iter().map(move |choice| with(values, choice)));
        each.collect()
    })
}

/// The pod templates of a release.
fn pods(objects: &[Value]) -> impl Iterator<Item = (String, &Value)> {
    let templates = objects
        .iter()
        .filter(|object| object["spec"]["template"].is_object());
    templates.map(|object| (name(object), &object["spec"]["template"]["spec"]))
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["initContainers", "containers"].map(|list| pod[list].as_array());
    lists.into_iter().flatten().flatten()
}

/// Those of the agent's options that are asked about.
fn options(values: &[&str], names: &[&str]) -> Vec<String> {
    let objects = objects(KUBERNETES[1], values);
    let pod = &find(&objects, "DaemonSet/tombolo")["spec"]["template"]["spec"];
    let words = pod["containers"][0]["args"].as_array().unwrap();
    let words = words.iter().filter_map(Value::as_str);
    let words = words.filter(|word| names.iter().any(|name| word.contains(name)));
    words.map(str::to_owned).collect()
}

#[test]
fn balancers_are_answered_where_it_is_wanted() {
    let words = |values: &[&str]| options(values, &["--node-health"]);
    assert!(words(&[]).is_empty());
    assert_eq!(
        words(&["kubeProxyReplacementHealthzBindAddr=[::]:10256"]),
        ["--node-health=[::]:10256"]
    );
}

#[test]
fn names_are_answered_unless_it_is_refused() {
    let words = |values: &[&str]| options(values, &["--name-service", "--cluster-domain"]);
    assert_eq!(
        words(&[]),
        [
            "--name-service=kube-system/kube-dns",
            "--cluster-domain=cluster.local"
        ]
    );
    assert_eq!(
        words(&[
            "dns.service=openshift-dns/dns-default",
            "dns.clusterDomain=a.example"
        ]),
        [
            "--name-service=openshift-dns/dns-default",
            "--cluster-domain=a.example"
        ]
    );
    assert!(words(&["dns.enabled=false"]).is_empty());
}

#[test]
fn whatever_is_chosen_fits_together() {
    for (index, values) in combinations().iter().enumerate() {
        let objects = objects(KUBERNETES[index % 2], values);
        for object in &objects {
            let kind = object["kind"].as_str().unwrap();
            if !kind.starts_with("Cluster") {
                assert_eq!(
                    object["metadata"]["namespace"],
                    "kube-system",
                    "{}",
                    name(object)
                );
            }
        }
        for (of, pod) in pods(&objects) {
            let account = pod["serviceAccountName"].as_str().unwrap();
            find(&objects, &format!("ServiceAccount/{account}"));
            check_pod(&of, pod, values);
        }
        check_selectors(&objects);
    }
}

fn check_pod(of: &str, pod: &Value, values: &[&str]) {
    let volumes = pod["volumes"].as_array().cloned().unwrap_or_default();
    for container in containers(pod) {
        let place = format!("{of}, {} with {values:?}", container["name"]);
        let context = &container["securityContext"];
        assert_eq!(context["readOnlyRootFilesystem"], true, "{place}");
        let may = values.contains(&"securityContext.privileged=true") && of == "DaemonSet/tombolo";
        if !may {
            assert_eq!(context["allowPrivilegeEscalation"], false, "{place}");
            assert_eq!(context["capabilities"]["drop"][0], "ALL", "{place}");
            assert!(context["privileged"].is_null(), "{place}");
        }
        if of != "DaemonSet/tombolo" {
            assert_eq!(context["runAsNonRoot"], true, "{place}");
            assert!(context["capabilities"]["add"].is_null(), "{place}");
        }
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            assert!(
                volumes.iter().any(|volume| volume["name"] == mount["name"]),
                "{place}: {mount}"
            );
        }
        let is_init = pod["initContainers"]
            .as_array()
            .is_some_and(|all| all.contains(container));
        if !is_init {
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                assert!(container[probe].is_object(), "{place} has no {probe}");
            }
            assert!(
                container["resources"]["requests"]["memory"].is_string(),
                "{place}"
            );
        }
    }
    let ports =
        containers(pod).flat_map(|container| container["ports"].as_array().into_iter().flatten());
    let mut ports: Vec<_> = ports
        .map(|port| port["containerPort"].as_u64().unwrap())
        .collect();
    let all = ports.len();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), all, "{of}: two containers have one port");
}

/// Services, budgets and monitors find pods; workloads find their own and no others.
fn check_selectors(objects: &[Value]) {
    let labels: Vec<_> = objects
        .iter()
        .filter(|object| object["spec"]["template"].is_object())
        .map(|object| &object["spec"]["template"]["metadata"]["labels"])
        .collect();
    let matching = |selector: &Value| {
        let all = |labels: &&&Value| {
            let wanted = selector.as_object().unwrap();
            wanted.iter().all(|(key, value)| labels[key] == *value)
        };
        labels.iter().filter(all).count()
    };
    for object in objects {
        let selector = match object["kind"].as_str().unwrap() {
            "Service" => &object["spec"]["selector"],
            "Deployment" | "DaemonSet" | "PodDisruptionBudget" => {
                &object["spec"]["selector"]["matchLabels"]
            }
            _ => continue,
        };
        assert_eq!(matching(selector), 1, "{}", name(object));
    }
}

#[test]
fn the_mesh_api_is_there_only_when_it_is_asked_for() {
    let plain = objects(KUBERNETES[1], &[]);
    assert!(
        !plain
            .iter()
            .any(|object| name(object).contains("clustermesh-apiserver"))
    );
    let meshed = objects(KUBERNETES[1], MESHED);
    for wanted in ["Deployment", "Service", "ServiceAccount", "ClusterRole"] {
        find(&meshed, &format!("{wanted}/clustermesh-apiserver"));
    }
    assert_eq!(
        find(&meshed, "Service/clustermesh-apiserver")["spec"]["ports"][0]["nodePort"],
        32379
    );
}

#[test]
fn a_real_etcd_takes_the_place_of_the_store() {
    let external = r#"clustermesh.apiserver.etcd.external={"endpoints":["https://etcd:2379"],"secretName":"etcd"}"#;
    let objects = objects(KUBERNETES[1], &[MESHED, &[external]].concat());
    let pod = &find(&objects, "Deployment/clustermesh-apiserver")["spec"]["template"]["spec"];
    let names: Vec<_> = containers(pod)
        .map(|container| &container["name"])
        .collect();
    assert_eq!(names, ["apiserver", "kvstoremesh"]);
}

/// Each operator has a port of its node: one that waits for the place of another must not keep that one in it.
#[test]
fn an_operator_makes_room_for_the_next_one() {
    for (replicas, unavailable) in [("1", "100%"), ("2", "50%")] {
        let replicas = format!("operator.replicas={replicas}");
        let objects = objects(KUBERNETES[1], &[&replicas]);
        let rolling = &find(&objects, "Deployment/tombolo-operator")["spec"]["strategy"];
        let rolling = &rolling["rollingUpdate"];
        assert_eq!(rolling["maxSurge"], 0, "{rolling}");
        assert_eq!(rolling["maxUnavailable"], unavailable, "{rolling}");
    }
}

#[test]
fn peers_of_values_become_files_as_upstream_writes_them() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let list = r#"[
        {"name": "cluster1", "address": "here.example"},
        {"name": "cluster2", "ips": ["192.0.2.1", "2001:db8::1"], "port": 32379},
        {"name": "cluster3", "address": "three.example", "tls": {"cert": "QQ==", "key": "Qg==", "caCert": "Qw=="}},
        {"name": "cluster4", "enabled": false, "address": "four.example"}
    ]"#;
    let map = r#"{
        "cluster1": {"address": "here.example"},
        "cluster2": {"ips": ["192.0.2.1", "2001:db8::1"], "port": 32379},
        "cluster3": {"address": "three.example", "tls": {"cert": "QQ==", "key": "Qg==", "caCert": "Qw=="}},
        "cluster4": {"enabled": false, "address": "four.example"}
    }"#;
    let secret = |clusters: &str| {
        let clusters = format!("clustermesh.config.clusters={clusters}");
        let values = [MESHED, &["clustermesh.config.enabled=true", &clusters]].concat();
        find(
            &objects(KUBERNETES[1], &values),
            "Secret/cilium-kvstoremesh",
        )["data"]
            .clone()
    };
    let data = secret(list);
    assert_eq!(secret(map), data);
    let names: Vec<_> = data.as_object().unwrap().keys().cloned().collect();
    let certificates = ["-ca.crt", ".crt", ".key"].map(|end| format!("cluster3.etcd-client{end}"));
    assert_eq!(names[..2], ["cluster2", "cluster3"]);
    assert_eq!(names[2..], certificates);
    let text = |name: &str| {
        let text = STANDARD.decode(data[name].as_str().unwrap()).unwrap();
        String::from_utf8(text).unwrap()
    };
    let folder = "/var/lib/cilium/clustermesh";
    assert_eq!(
        text("cluster2"),
        format!(
            "endpoints:\n- https://cluster2.mesh.cilium.io:32379\n\
             trusted-ca-file: {folder}/common-etcd-client-ca.crt\n\
             cert-file: {folder}/common-etcd-client.crt\nkey-file: {folder}/common-etcd-client.key\n\
             cilium-host-aliases:\n- hostname: cluster2.mesh.cilium.io\n  ips: [\"192.0.2.1\",\"2001:db8::1\"]\n"
        )
    );
    assert_eq!(
        text("cluster3"),
        format!(
            "endpoints:\n- https://three.example:2379\n\
             trusted-ca-file: {folder}/cluster3.etcd-client-ca.crt\n\
             cert-file: {folder}/cluster3.etcd-client.crt\nkey-file: {folder}/cluster3.etcd-client.key\n"
        )
    );
    assert_eq!(text("cluster3.etcd-client.key"), "B");
}

#[test]
fn monitors_scrape_ports_that_pods_have() {
    let on = [
        "prometheus.serviceMonitor.enabled=true",
        "operator.prometheus.serviceMonitor.enabled=true",
        "clustermesh.apiserver.metrics.serviceMonitor.enabled=true",
        r#"prometheus.serviceMonitor.labels={"release":"prometheus"}"#,
    ];
    let objects = objects(KUBERNETES[1], &[MESHED, &on].concat());
    for monitored in ["tombolo", "tombolo-operator", "clustermesh-apiserver"] {
        let monitor = find(&objects, &format!("ServiceMonitor/{monitored}"));
        let service = find(&objects, &format!("Service/{monitored}-metrics"));
        let workload = if monitored == "tombolo" {
            "DaemonSet"
        } else {
            "Deployment"
        };
        let workload = find(&objects, &format!("{workload}/{monitored}"));
        let endpoints = monitor["spec"]["endpoints"].as_array().unwrap();
        assert!(!endpoints.is_empty());
        for endpoint in endpoints {
            let ports = service["spec"]["ports"].as_array().unwrap();
            let port = ports
                .iter()
                .find(|port| port["name"] == endpoint["port"])
                .unwrap();
            let pod = &workload["spec"]["template"]["spec"];
            let mut all = containers(pod)
                .flat_map(|container| container["ports"].as_array().into_iter().flatten());
            assert!(
                all.any(
                    |has| has["name"] == port["targetPort"] && has["containerPort"] == port["port"]
                ),
                "{port}"
            );
        }
    }
    assert_eq!(
        find(&objects, "ServiceMonitor/tombolo")["metadata"]["labels"]["release"],
        "prometheus"
    );
}
