//! What a release has in it, over many combinations of values.

use super::*;

/// Every choice of each of these with every choice of the others.
const CHOICES: [&[&[&str]]; 5] = [
    &[&[], MESHED],
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
