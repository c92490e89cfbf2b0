mod live;

use super::{files::*, reach::*, *};
use crate::{
    certificates::Authority,
    trust::{Introduction, Secret},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tombolo_clustermesh::config;
use tombolo_model::id::ClusterId;

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn find(service: Value, nodes: &[Value]) -> Reach {
    let service: Option<Service> = (!service.is_null()).then(|| read(service));
    let nodes: Vec<Node> = nodes.iter().cloned().map(read).collect();
    Reach::by_service(service.as_ref(), nodes.iter())
}

fn service(kind: &str, more: Value) -> Value {
    json!({
        "spec": {"type": kind, "clusterIPs": ["10.96.0.9", "fd00::9"], "ports": [{"port": 2379, "nodePort": 32379}]},
        "status": more,
    })
}

fn node(address: &str) -> Value {
    json!({"status": {"addresses": [
        {"type": "Hostname", "address": "n"},
        {"type": "InternalIP", "address": address},
        {"type": "ExternalIP", "address": "203.0.113.1"},
    ]}})
}

#[test]
fn the_mesh_api_is_reached_where_its_service_or_its_node_says() {
    let nodes = [node("192.0.2.1"), node("192.0.2.2")];
    let agents = ["https://10.96.0.9:2379", "https://[fd00::9]:2379"];
    let check = |reach: Reach, peers: &[&str], agents: &[&str]| {
        assert_eq!(reach.peers, peers);
        assert_eq!(reach.agents, agents);
    };
    check(find(Value::Null, &nodes), &[], &[]);
    check(
        find(service("ClusterIP", json!({})), &nodes),
        &agents,
        &agents,
    );
    check(
        find(service("NodePort", json!({})), &nodes),
        &["https://192.0.2.1:32379", "https://192.0.2.2:32379"],
        &agents,
    );
    check(
        find(service("LoadBalancer", json!({})), &nodes),
        &[],
        &agents,
    );
    let balanced =
        json!({"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}, {"hostname": "lb.example"}]}});
    check(
        find(service("LoadBalancer", balanced), &nodes),
        &["https://198.51.100.7:2379", "https://lb.example:2379"],
        &agents,
    );
    let nodes: Vec<Node> = nodes.map(read).into();
    let here = ["https://192.0.2.1:2379", "https://192.0.2.2:2379"];
    check(Reach::on_nodes(None, nodes.iter()), &here, &here);
}

#[test]
fn where_nodes_are_many_the_service_leads_to_the_one_that_has_the_mesh_api() {
    let nodes: Vec<Node> = (1..=9)
        .map(|last| read(node(&format!("192.0.2.{last}"))))
        .collect();
    let on_nodes = |kind: &str, count: usize| {
        let service = read(service(kind, json!({})));
        Reach::on_nodes(Some(&service), nodes[..count].iter())
    };
    let at = |port: u16, count: u8| -> Vec<String> {
        (1..=count)
            .map(|last| format!("https://192.0.2.{last}:{port}"))
            .collect()
    };
    let led = ["https://10.96.0.9:2379", "https://[fd00::9]:2379"];
    let few = on_nodes("NodePort", 8);
    assert_eq!((few.peers, few.agents), (at(2379, 8), at(2379, 8)));
    let many = on_nodes("NodePort", 9);
    assert_eq!(many.peers, at(32379, 8));
    assert_eq!(many.agents, led);
    // Nobody outside is led by these.
    for kind in ["ClusterIP", "LoadBalancer"] {
        let many = on_nodes(kind, 9);
        assert_eq!(many.peers, at(2379, 8), "{kind}");
        assert_eq!(many.agents, led, "{kind}");
    }
    let alone = Reach::on_nodes(None, nodes.iter());
    assert_eq!((alone.peers, alone.agents), (at(2379, 8), at(2379, 8)));
}

#[test]
fn files_are_as_readers_of_peers_take_them() {
    let names = Names {
        ca: "ca",
        certificate: "crt",
        key: "key",
    };
    let endpoints = [
        "https://192.0.2.1:2379",
        "https://[2001:db8::1]:2379",
        "https://lb.example:443",
    ];
    let endpoints = endpoints.map(str::to_owned);
    let text = file("cluster2", &endpoints, &names);
    let peer = config::Peer::read(text.as_bytes()).unwrap().unwrap();
    assert_eq!(
        peer.endpoints,
        [
            "https://cluster2.mesh.cilium.io:2379",
            "https://lb.example:443"
        ]
    );
    assert_eq!(peer.aliases[0].hostname, "cluster2.mesh.cilium.io");
    assert_eq!(peer.aliases[0].ips.len(), 2);
    assert_eq!(server_names(&endpoints), ["lb.example"]);
    let named = file("cluster2", &endpoints[2..], &names);
    assert_eq!(
        config::Peer::read(named.as_bytes())
            .unwrap()
            .unwrap()
            .aliases,
        []
    );
}

/// A cluster and its authority.
fn own(name: &str, id: u16) -> (Own, Authority) {
    let authority = Authority::make(name).unwrap();
    let introduction = Introduction {
        name: name.into(),
        id: ClusterId(id),
        endpoints: vec!["https://192.0.2.1:2379".into()],
        ca: authority.certificate.clone(),
    };
    let secrets = vec![Secret::make().unwrap()];
    let own = Own {
        introduction,
        secrets,
    };
    (own, authority)
}

fn as_peer(own: &Own) -> Peer {
    Peer {
        introduction: own.introduction.clone(),
        secrets: own.secrets.clone(),
        client: None,
    }
}

#[test]
fn secrets_are_written_once_and_anew_only_where_something_differs() {
    let ((a, authority), (mut b, _)) = (own("a", 1), own("b", 2));
    let reach = Reach {
        peers: vec!["https://192.0.2.1:2379".into()],
        agents: vec!["https://192.0.2.1:2379".into()],
    };
    let make = |own: &Own,
                authority: &Authority,
                b: &Own,
                names: &[String],
                present: &BTreeMap<String, Data>| {
        let peers = [("b".to_owned(), as_peer(b))].into();
        desired(&Inputs {
            own,
            authority,
            peers: &peers,
            given: &given::Given::default(),
            shared_user: false,
            reach: &reach,
            server_names: names,
            etcd: None,
            serves: true,
            present,
        })
        .unwrap()
    };
    let first = make(&a, &authority, &b, &[], &BTreeMap::new());
    assert_eq!(first.keys().collect::<Vec<_>>(), [AGENTS, MIRROR, STORE]);
    let names = |secret: &str| first[secret].keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(
        names(STORE),
        [
            "ca.crt",
            "remote-b.trust",
            "server.crt",
            "server.key",
            "users.yaml"
        ]
    );
    assert_eq!(
        names(MIRROR),
        [
            "a",
            "admin.crt",
            "admin.key",
            "b",
            "b.etcd-client-ca.crt",
            "b.etcd-client.crt",
            "b.etcd-client.key",
            "ca.crt"
        ]
    );
    assert_eq!(
        names(AGENTS),
        [
            "b",
            "local-etcd-client-ca.crt",
            "local-etcd-client.crt",
            "local-etcd-client.key"
        ]
    );
    // Nobody but the operator ever sees the authority's key or the secrets.
    let bytes = |secret: &Secret| secret.bytes().to_vec();
    for data in first.values() {
        for content in data.values() {
            assert_ne!(content, authority.key.as_bytes());
            assert!(
                !content
                    .windows(32)
                    .any(|part| part == bytes(&a.secrets[0]) || part == bytes(&b.secrets[0]))
            );
        }
    }
    assert_eq!(make(&a, &authority, &b, &[], &first), first);
    let differs = |second: &BTreeMap<String, Data>| {
        let pairs = first.iter().flat_map(|(secret, data)| {
            data.iter()
                .map(move |(key, content)| (secret, key, content))
        });
        let changed =
            pairs.filter(|(secret, key, content)| second[*secret].get(*key) != Some(content));
        changed
            .map(|(secret, key, _)| format!("{secret}/{key}"))
            .collect::<Vec<_>>()
    };
    let named = make(&a, &authority, &b, &["mesh.example".into()], &first);
    assert_eq!(
        differs(&named),
        ["tombolo-store/server.crt", "tombolo-store/server.key"]
    );
    // The peer has another secret: only what proves to it is made anew.
    b.secrets.insert(0, Secret::make().unwrap());
    let rotated = make(&a, &authority, &b, &[], &first);
    assert_eq!(
        differs(&rotated),
        [
            "tombolo-kvstoremesh/b.etcd-client.crt",
            "tombolo-kvstoremesh/b.etcd-client.key",
            "tombolo-store/remote-b.trust"
        ]
    );
    // Another authority: all that it issued.
    let other = Authority::make("a").unwrap();
    let renewed = differs(&make(&a, &other, &b, &[], &rotated));
    let pairs = renewed.iter().filter(|name| name.ends_with(".key")).count();
    assert_eq!(pairs, 4, "{renewed:?}");
}

#[test]
fn peers_of_the_other_form_stand_beside_those_of_a_cluster_mesh() {
    let ((a, authority), (b, _)) = (own("a", 1), own("b", 2));
    let file = |peer: &str, certificates: &str| {
        let path = "/var/lib/cilium/clustermesh";
        let text = format!(
            "endpoints:\n- https://{peer}.mesh.cilium.io:2379\ntrusted-ca-file: {path}/{certificates}-ca.crt\n\
             cert-file: {path}/{certificates}.crt\nkey-file: {path}/{certificates}.key\n"
        );
        (peer.to_owned(), text.into_bytes())
    };
    let pem = |name: &str| (name.to_owned(), b"PEM".to_vec());
    let secret: Data = [
        file("a", "common-etcd-client"),
        file("b", "common-etcd-client"),
        file("ca", "common-etcd-client"),
        file("d", "d.etcd-client"),
        pem("d.etcd-client-ca.crt"),
        pem("d.etcd-client.crt"),
        pem("d.etcd-client.key"),
        pem("ca.crt"),
        pem("admin.key"),
        ("e".to_owned(), b"endpoints: here".to_vec()),
        ("f".to_owned(), b"nothing".to_vec()),
    ]
    .into();
    let given = given("a", Some(&secret), |name| name == "b");
    assert_eq!(given.peers, ["ca", "d"].map(str::to_owned).into());
    let refused: Vec<_> = given.refused.keys().collect();
    assert_eq!(refused, ["b", "e", "f"]);
    assert_eq!(given_names(&secret, "a").count(), 5);
    let reach = Reach {
        peers: vec!["https://192.0.2.1:2379".into()],
        agents: vec!["https://192.0.2.1:2379".into()],
    };
    let make = |shared_user: bool, present: &BTreeMap<String, Data>| {
        desired(&Inputs {
            own: &a,
            authority: &authority,
            peers: &[("b".to_owned(), as_peer(&b))].into(),
            given: &given,
            shared_user,
            reach: &reach,
            server_names: &[],
            etcd: None,
            serves: true,
            present,
        })
        .unwrap()
    };
    let made = make(false, &BTreeMap::new());
    let text = |data: &BTreeMap<String, Data>, secret: &str, key: &str| {
        String::from_utf8(data[secret][key].clone()).unwrap()
    };
    // What was given may not take the place of what is this cluster's own.
    assert_eq!(text(&made, MIRROR, "ca.crt"), authority.certificate);
    assert_ne!(text(&made, MIRROR, "admin.key"), "PEM");
    assert_eq!(text(&made, MIRROR, "d.etcd-client.key"), "PEM");
    assert_eq!(made[MIRROR]["ca"], secret["ca"]);
    assert_eq!(text(&made, MIRROR, COMMON_CA), authority.certificate);
    assert_eq!(
        made[AGENTS].keys().filter(|key| !key.contains('.')).count(),
        3
    );
    let users = text(&made, STORE, "users.yaml");
    let names: Vec<_> = users.lines().filter(|line| line.contains("name")).collect();
    assert_eq!(
        names,
        ["- name: remote-b", "- name: remote-ca", "- name: remote-d"]
    );
    assert!(text(&make(true, &made), STORE, "users.yaml").contains("- name: remote\n"));
    assert_eq!(make(false, &made), made, "certificates stay");
}

const COMMON_CA: &str = given::COMMON[0];

#[test]
fn pods_of_a_peer_that_have_our_addresses_are_told_of() {
    let (b, _) = own("b", 2);
    let mesh: condition::Mesh = read(json!({
        "spec": {"clusters": [{"name": "b", "secret": {"name": "b-secret", "namespace": "kube-system"}}]},
    }));
    let met = BTreeMap::from([("b".to_owned(), Ok(as_peer(&b)))]);
    let overlaps = BTreeMap::from([("b".to_owned(), "10.1.0.0/24 is of both".to_owned())]);
    let told = status(&known(&met, &overlaps), &mesh, "now");
    let condition = told.clusters[0].news(&mesh.status).unwrap();
    assert_eq!(
        (condition.status.as_str(), condition.reason.as_str()),
        ("False", "PodRangesOverlap")
    );
    assert_eq!(condition.message, "10.1.0.0/24 is of both");
    assert_eq!(told.clusters[0].id, Some(2), "it is trusted all the same");
    assert_eq!(told.conditions[0].message, "b: 10.1.0.0/24 is of both");
    assert_eq!(told.clusters[0].news(&told), None, "it is news once");
}

fn known<'a>(
    met: &'a BTreeMap<String, Result<Peer, Mistake>>,
    overlaps: &'a BTreeMap<String, String>,
) -> Known<'a> {
    Known {
        own: "a",
        met,
        overlaps,
    }
}

#[test]
fn conditions_keep_the_time_since_when_they_hold() {
    let (b, _) = own("b", 2);
    let mut mesh: condition::Mesh = read(json!({
        "metadata": {"generation": 3},
        "spec": {"clusters": [
            {"name": "b", "secret": {"name": "b-secret", "namespace": "kube-system"}},
            {"name": "c", "secret": {"name": "c-secret", "namespace": "kube-system"}},
        ]},
    }));
    let none = BTreeMap::new();
    let mut met: BTreeMap<String, Result<Peer, Mistake>> = BTreeMap::new();
    met.insert("b".into(), Ok(as_peer(&b)));
    met.insert("c".into(), Err(Mistake::Missing { misplaced: None }));
    mesh.status = status(&known(&met, &none), &mesh, "then");
    let (first, second) = (&mesh.status.clusters[0], &mesh.status.clusters[1]);
    assert_eq!(
        (first.id, first.conditions[0].reason.as_str()),
        (Some(2), "Trusted")
    );
    assert_eq!(second.conditions[0].reason, "SecretMissing");
    assert!(
        second.conditions[0]
            .message
            .contains("kubectl --context c get secret")
    );
    let all = &mesh.status.conditions[0];
    assert_eq!(
        (all.status.as_str(), all.reason.as_str()),
        ("False", "SecretMissing")
    );
    assert!(all.message.starts_with("c: "), "{}", all.message);
    assert_eq!(mesh.status.observed_generation, 3);
    // Nothing has happened.
    assert_eq!(status(&known(&met, &none), &mesh, "now"), mesh.status);
    met.insert("c".into(), Err(Mistake::OwnSecret));
    let other = status(&known(&met, &none), &mesh, "now");
    assert_eq!(other.clusters[1].conditions[0].last_transition_time, "then");
    met.remove("c");
    mesh.spec.clusters.pop();
    let well = status(&known(&met, &none), &mesh, "now");
    assert_eq!(
        (
            well.conditions[0].status.as_str(),
            well.conditions[0].last_transition_time.as_str()
        ),
        ("True", "now")
    );
}
