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
