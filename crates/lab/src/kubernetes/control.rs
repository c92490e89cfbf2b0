//! The control plane of a cluster, on its control machine: certificates, and the words of each program.

use super::{
    API_PORT, FOLDER, api_addresses,
    authority::{self, Authority, Owner},
    disk, kubeconfig,
};
use crate::{
    Error,
    error::Result,
    inside,
    plan::{MachineId, NODE_MASK, NODE_MASK_V6, Objects, SERVICES},
    state::State,
};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

const STORE: &str = "127.0.0.1:2379";
pub const ETCD_METRICS: u16 = 2381;
pub const STORE_HEALTH: u16 = 9963;
/// Certificates of the embedded store, which it makes for itself.
const STORE_CERTIFICATES: &str = "/run/lab/kubernetes/store";
/// The first address of services is Kubernetes' own.
const API_SERVICE: [&str; 2] = ["172.20.0.1", "fd00:20::1"];
const API_NAMES: [&str; 5] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];
const FRONT_PROXY: &str = "front-proxy-client";
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";
/// Whom the lab and its user are to the cluster.
pub const ADMINISTRATOR: Owner<'_> = Owner {
    name: "administrator",
    group: Some("system:masters"),
    hosts: &[],
    addresses: &[],
};
pub const CONTROLLER_MANAGER_PORT: u16 = 10257;
pub const SCHEDULER_PORT: u16 = 10259;

/// Gives the control plane all that its programs are started with.
pub fn found(state: &State, cluster: u8, authority: &Authority) -> Result<()> {
    let folder = state.path_in(MachineId::Control(cluster), FOLDER)?;
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    authority.write(&folder)?;
    authority::write_token_keys(&folder)?;
    let mut addresses = api_addresses(state, cluster);
    addresses.push(Ipv4Addr::LOCALHOST.into());
    let service = API_SERVICE.map(|address| address.parse::<IpAddr>());
    addresses.extend(service.map(|address| address.expect("it is an address")));
    let server = Owner {
        name: "kube-apiserver",
        hosts: &API_NAMES,
        addresses: &addresses,
        ..Owner::default()
    };
    authority.issue(&server)?.write(&folder, "server")?;
    let to_kubelets = Owner {
        name: "kube-apiserver-kubelet-client",
        group: Some("system:masters"),
        ..Owner::default()
    };
    authority.issue(&to_kubelets)?.write(&folder, "kubelets")?;
    found_aggregation(&folder)?;
    authority.issue(&ADMINISTRATOR)?.write(&folder, "admin")?;
    let url = format!("https://127.0.0.1:{API_PORT}");
    for (name, file) in [
        (CONTROLLER_MANAGER, "controller-manager"),
        (SCHEDULER, "scheduler"),
    ] {
        let pair = authority.issue(&Owner {
            name,
            ..Owner::default()
        })?;
        let user = kubeconfig::Entry {
            context: state.cluster_name(cluster),
            server: url.clone(),
            authority: &authority.certificate,
            pair,
        };
        authority::write(
            &folder.join(format!("{file}.kubeconfig")),
            &kubeconfig::text(&[user]),
        )?;
        // Those that they make for themselves take long.
        let page = Owner {
            name,
            addresses: &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
            ..Owner::default()
        };
        authority.issue(&page)?.write(&folder, file)?;
    }
    found_store(state, cluster)
}

/// By whom servers of other parts of the API know that it is the API server who asks.
fn found_aggregation(folder: &Path) -> Result<()> {
    let authority = Authority::make("front-proxy")?;
    authority.write_certificate(folder, "front-proxy-ca")?;
    let owner = Owner {
        name: FRONT_PROXY,
        ..Owner::default()
    };
    authority.issue(&owner)?.write(folder, "front-proxy")
}

/// Whoever can't show a certificate of the store's own authority is no client of it.
fn found_store(state: &State, cluster: u8) -> Result<()> {
    let machine = MachineId::Control(cluster);
    if state.shape.kubernetes == Some(Objects::Embedded) {
        let name = state.cluster_name(cluster);
        let words = ["certificates", "init", "--cluster-name", &name];
        let words = [&words[..], &["--certificates", STORE_CERTIFICATES]].concat();
        return inside::call(&state.words_in(machine, &words)?).map(drop);
    }
    let folder = state.path_in(machine, STORE_CERTIFICATES)?;
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let authority = Authority::make("etcd")?;
    authority.write_certificate(&folder, "ca")?;
    let server = Owner {
        name: "etcd",
        hosts: &["localhost"],
        addresses: &[Ipv4Addr::LOCALHOST.into()],
        ..Owner::default()
    };
    authority.issue(&server)?.write(&folder, "server")?;
    let client = Owner {
        name: "kube-apiserver",
        ..Owner::default()
    };
    authority.issue(&client)?.write(&folder, "admin")
}

fn file(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// Options for an authority and a certificate with its key, as a program calls them.
fn tls(names: [&str; 3], folder: &str, owner: &str) -> [String; 3] {
    let [ca, certificate, key] = names;
    [
        format!("--{ca}={folder}/ca.crt"),
        format!("--{certificate}={folder}/{owner}.crt"),
        format!("--{key}={folder}/{owner}.key"),
    ]
}

pub fn etcd(state: &State, cluster: u8) -> Vec<String> {
    let data = disk(&state.name).join(MachineId::Control(cluster).to_string());
    let peers = "http://127.0.0.1:2380";
    let mut words = vec![
        format!("--data-dir={}", data.join("etcd").display()),
        "--name=lab".to_owned(),
        format!("--initial-cluster=lab={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--listen-peer-urls={peers}"),
        format!("--listen-client-urls=https://{STORE}"),
        format!("--advertise-client-urls=https://{STORE}"),
        format!("--listen-metrics-urls=http://127.0.0.1:{ETCD_METRICS}"),
        // A lab's clusters end with the machine.
        "--unsafe-no-fsync".to_owned(),
        "--client-cert-auth".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    let names = ["trusted-ca-file", "cert-file", "key-file"];
    words.extend(tls(names, STORE_CERTIFICATES, "server"));
    words
}

pub fn store(state: &State, cluster: u8) -> Vec<String> {
    let name = state.cluster_name(cluster);
    let health = format!("127.0.0.1:{STORE_HEALTH}");
    let words = ["store", "--cluster-name", &name, "--listen", STORE];
    let more = [
        "--certificates",
        STORE_CERTIFICATES,
        "--health-listen",
        &health,
    ];
    words.into_iter().chain(more).map(str::to_owned).collect()
}

pub fn api_server(state: &State, cluster: u8, objects: Objects) -> Vec<String> {
    let address = api_addresses(state, cluster)[0];
    let mut words = vec![
        format!("--etcd-servers=https://{STORE}"),
        format!("--advertise-address={address}"),
        "--bind-address=::".to_owned(),
        format!("--secure-port={API_PORT}"),
        "--allow-privileged=true".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        // Names of nodes are in no name server.
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        format!("--cert-dir={}", file("api-server")),
        format!("--service-cluster-ip-range={}", SERVICES.join(",")),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", file("tokens.pub")),
        format!("--service-account-signing-key-file={}", file("tokens.key")),
    ];
    words.extend([
        format!(
            "--requestheader-client-ca-file={}",
            file("front-proxy-ca.crt")
        ),
        format!("--requestheader-allowed-names={FRONT_PROXY}"),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--proxy-client-cert-file={}", file("front-proxy.crt")),
        format!("--proxy-client-key-file={}", file("front-proxy.key")),
    ]);
    let etcd = ["etcd-cafile", "etcd-certfile", "etcd-keyfile"];
    words.extend(tls(etcd, STORE_CERTIFICATES, "admin"));
    let own = ["client-ca-file", "tls-cert-file", "tls-private-key-file"];
    words.extend(tls(own, FOLDER, "server"));
    let kubelets = [
        "kubelet-certificate-authority",
        "kubelet-client-certificate",
        "kubelet-client-key",
    ];
    words.extend(tls(kubelets, FOLDER, "kubelets"));
    if objects == Objects::Embedded {
        // It is memory, and the past is dropped as soon as Kubernetes allows.
        words.push("--etcd-compaction-interval=1m".to_owned());
    }
    words
}

/// Who asks and who may: an API server answers both. How often it is asked is nobody's concern but this machine's; the usual
/// limit makes a controller manager's start some seconds longer.
fn client(name: &str, port: u16) -> Vec<String> {
    let config = file(&format!("{name}.kubeconfig"));
    let configs = [
        "kubeconfig",
        "authentication-kubeconfig",
        "authorization-kubeconfig",
    ]
    .map(|option| format!("--{option}={config}"));
    let mut words = configs.to_vec();
    words.extend([
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", file(&format!("{name}.crt"))),
        format!("--tls-private-key-file={}", file(&format!("{name}.key"))),
        "--leader-elect=false".to_owned(),
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
    ]);
    words
}

pub fn controller_manager(state: &State, cluster: u8) -> Vec<String> {
    let known = &state.kubernetes.clusters[&cluster];
    let pods = known.pods.map(|range| range.to_string()).join(",");
    let mut words = client("controller-manager", CONTROLLER_MANAGER_PORT);
    words.extend([
        format!("--cluster-name={}", known.name),
        "--allocate-node-cidrs=true".to_owned(),
        format!("--cluster-cidr={pods}"),
        format!("--node-cidr-mask-size-ipv4={NODE_MASK}"),
        format!("--node-cidr-mask-size-ipv6={NODE_MASK_V6}"),
        format!("--service-cluster-ip-range={}", SERVICES.join(",")),
        format!("--cluster-signing-cert-file={}", file("ca.crt")),
        format!("--cluster-signing-key-file={}", file("ca.key")),
        format!("--root-ca-file={}", file("ca.crt")),
        format!("--service-account-private-key-file={}", file("tokens.key")),
        "--use-service-account-credentials=true".to_owned(),
        // The usual one would be made on this machine.
        format!("--flex-volume-plugin-dir={}", file("plugins-of-volumes")),
    ]);
    words
}

pub fn scheduler() -> Vec<String> {
    client("scheduler", SCHEDULER_PORT)
}
