use super::*;
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn parse(words: &str) -> Result<Options, clap::Error> {
    Cli::try_parse_from(words.split_whitespace()).map(|cli| cli.options)
}

#[test]
fn words_are_as_documented() {
    let options = parse(
        "agent --cluster-name c1 --cluster-id 1 --node-name n1 --node-ip 192.0.2.1 --node-ip fd00::1 --pod-range 10.1.1.0/24,fd00:1::/64 \
         --routing-mode native --uplink eth0 --uplink eth1 --facts /f --socket /s --pins /p --listen [::1]:80 --max-connected-clusters 511 \
         --mtu 1400 --no-masquerade --underlay ipv6 --log-format json \
         --clustermesh-config /c --own-store /o --clustermesh-namespaces a,b --clustermesh-sync-timeout 5",
    )
    .unwrap();
    assert_eq!(options.node_ip.len(), 2);
    assert_eq!(options.pod_range.len(), 2);
    assert_eq!(options.uplink, ["eth0", "eth1"]);
    assert_eq!(options.routing_mode, RoutingMode::Native);
    assert_eq!(
        (options.underlay, options.log_format),
        (Underlay::Ipv6, LogFormat::Json)
    );
    assert!(options.no_masquerade);
    assert_eq!(options.mesh.own_store, Some(PathBuf::from("/o")));
    assert_eq!(options.mesh.clustermesh_sync_timeout, 5);
    let namespaces = ["a".to_owned(), "b".to_owned()].into();
    assert_eq!(options.mesh.scope(), Scope::Namespaces(namespaces));
}

#[test]
fn balancing_is_as_told() {
    let words = "agent --node-name n1 --kubernetes";
    let told = |more: &str| parse(&format!("{words} {more}"));
    let balancing = told("").unwrap().balancing.read();
    assert_eq!(
        (balancing.algorithm, balancing.table_size),
        (Algorithm::Random, 16_381)
    );
    let other =
        told("--load-balancer-algorithm maglev --maglev-table-size 251 --maglev-hash-seed b");
    let other = other.unwrap().balancing.read();
    assert_eq!(
        (other.algorithm, other.table_size),
        (Algorithm::Maglev, 251)
    );
    assert_ne!(other.seed, balancing.seed);
    for (bad, why) in [
        ("--load-balancer-algorithm rr", "use random or maglev"),
        ("--maglev-table-size 1000", "use a prime: 251, 509"),
    ] {
        let error = told(bad).unwrap_err().to_string();
        assert!(error.contains(why), "{bad}: {error}");
    }
}

#[test]
fn names_need_a_service_and_a_domain_of_their_own() {
    let words = "agent --node-name n1 --kubernetes";
    let options = parse(words).unwrap();
    assert_eq!(options.names.service(), None);
    let options = parse(&format!(
        "{words} --name-service kube-system/kube-dns --cluster-domain Cluster.Example."
    ));
    let service = options.unwrap().names.service().unwrap();
    assert_eq!(service.service.namespace, "kube-system");
    assert_eq!(service.service.name, "kube-dns");
    assert_eq!(service.domain, "cluster.example");
    for (bad, why) in [
        ("--name-service kube-dns", "such as kube-system/kube-dns"),
        ("--name-service a/b/c", "such as kube-system/kube-dns"),
        ("--cluster-domain a..b", "such as cluster.local"),
        ("--cluster-domain clusterset.local", "in all clusters"),
    ] {
        let error = parse(&format!("{words} {bad}")).unwrap_err().to_string();
        assert!(error.contains(why), "{bad}: {error}");
    }
    let bare = "agent --node-name n1 --node-ip 192.0.2.1 --pod-range 10.1.1.0/24";
    let options = parse(&format!("{bare} --name-service a/b")).unwrap();
    let error = options.names.check(options.kubernetes).unwrap_err();
    assert!(error.to_string().contains("give --kubernetes"), "{error}");
}

#[test]
fn stores_that_cannot_be_read_are_refused_with_what_to_do() {
    let read = |config: Option<&str>, store: Option<&str>, id| {
        let options = MeshOptions {
            clustermesh_config: config.map(PathBuf::from),
            own_store: store.map(PathBuf::from),
            ..MeshOptions::default()
        };
        options.check(id).map_err(|error| error.to_string())
    };
    assert_eq!(read(None, None, 0), Ok(()));
    assert_eq!(read(Some("/tmp"), Some("/tmp/absent"), 1), Ok(()));
    assert_eq!(read(None, Some("absent"), 1), Ok(()));
    let table = [
        (Some("/tmp"), None, 0, "give --cluster-id"),
        (None, Some("/tmp/a"), 0, "give --cluster-id"),
        (Some("/nowhere"), None, 1, "make the folder /nowhere first"),
        (
            None,
            Some("/nowhere/a"),
            1,
            "make the folder /nowhere first",
        ),
    ];
    for (config, store, id, expected) in table {
        let said = read(config, store, id).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn most_have_defaults() {
    let options =
        parse("agent --node-name n1 --node-ip 192.0.2.1 --pod-range 10.1.1.0/24").unwrap();
    assert_eq!(options.pins, PathBuf::from("/sys/fs/bpf/tombolo"));
    assert_eq!(options.socket, PathBuf::from(SOCKET_PATH));
    assert_eq!(
        (options.max_connected_clusters, options.cluster_id),
        (255, 0)
    );
    assert_eq!(options.mesh.scope(), Scope::All);
    assert_eq!(options.mesh.clustermesh_sync_timeout, 60);
    for words in [
        "agent",
        "agent --node-name n --node-ip x --pod-range 10.1.1.0/24",
        "agent --node-name n --node-ip 192.0.2.1 --pod-range 10.1.1.0/24 --routing-mode x",
    ] {
        assert!(parse(words).is_err(), "{words}");
    }
}
