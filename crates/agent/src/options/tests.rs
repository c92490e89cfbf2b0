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
         --mtu 1400 --no-masquerade --underlay ipv6 --log-format json",
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
    for words in [
        "agent",
        "agent --node-name n --node-ip x --pod-range 10.1.1.0/24",
        "agent --node-name n --node-ip 192.0.2.1 --pod-range 10.1.1.0/24 --routing-mode x",
    ] {
        assert!(parse(words).is_err(), "{words}");
    }
}
