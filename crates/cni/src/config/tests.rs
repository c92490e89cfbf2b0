use super::*;

#[test]
fn bad_configurations_get_the_numbers_of_the_specification() {
    let cases = [
        ("", 6, "decoding the network configuration"),
        ("{", 6, "decoding the network configuration"),
        ("\"text\"", 6, "decoding the network configuration"),
        ("\u{0}", 6, "decoding the network configuration"),
        (
            r#"{"cniVersion": 1, "name": "n", "type": "t"}"#,
            6,
            "decoding",
        ),
        (r#"{"name": "n", "type": "t"}"#, 7, "cniVersion is missing"),
        (
            r#"{"cniVersion": "1.1.0", "type": "t"}"#,
            7,
            "name is missing",
        ),
        (
            r#"{"cniVersion": "1.1.0", "name": "a b", "type": "t"}"#,
            7,
            "name \"a b\" must start",
        ),
        (
            r#"{"cniVersion": "1.1.0", "name": "n"}"#,
            7,
            "type is missing",
        ),
        (
            r#"{"cniVersion": "0.2.0", "name": "n", "type": "t"}"#,
            1,
            "incompatible CNI version \"0.2.0\"; this plugin speaks 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0",
        ),
        (
            r#"{"cniVersion": "9.9.9", "name": "n", "type": "t"}"#,
            1,
            "incompatible CNI version \"9.9.9\"",
        ),
        (
            r#"{"cniVersion": "1.1.0", "name": "n", "type": "t", "ipam": {"type": "host-local"}}"#,
            2,
            "ipam.type = \"host-local\"",
        ),
        (
            r#"{"cniVersion": "1.1.0", "name": "n", "type": "t", "socket": "agent.sock"}"#,
            7,
            "socket \"agent.sock\" must be an absolute path",
        ),
        (
            r#"{"cniVersion": "1.1.0", "name": "n", "type": "t", "prevResult": {"ips": [{"address": "10.0.0.1"}]}}"#,
            6,
            "decoding prevResult",
        ),
        (
            r#"{"cniVersion": "1.1.0", "name": "n", "type": "t", "prevResult": {"cniVersion": "0.2.0"}}"#,
            1,
            "incompatible CNI version \"0.2.0\"",
        ),
    ];
    for (text, code, message) in cases {
        let error = Config::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.code(), code, "{text}: {error}");
        assert!(error.to_string().contains(message), "{text}: {error}");
    }
}

#[test]
fn paths_have_defaults_and_can_be_set() {
    let config = Config::parse(br#"{"cniVersion": "1.0.0", "name": "n", "type": "t"}"#).unwrap();
    assert_eq!(config.version, Version::V1_0_0);
    assert_eq!(config.socket, PathBuf::from(SOCKET_PATH));
    assert_eq!(config.delete_queue, PathBuf::from(DELETE_QUEUE_PATH));
    assert!(config.log.is_none() && config.previous.is_none() && config.valid.is_none());

    let config = Config::parse(
        br#"{"cniVersion": "1.1.0", "name": "n", "type": "t", "ipam": {}, "unknown": [1],
             "socket": "/a", "deleteQueue": "/b", "log": "/c",
             "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}"#,
    )
    .unwrap();
    assert_eq!(config.socket, PathBuf::from("/a"));
    assert_eq!(config.delete_queue, PathBuf::from("/b"));
    assert_eq!(config.log, Some("/c".into()));
    let kept = Attachment {
        container: "c1".into(),
        interface: "eth0".into(),
    };
    assert_eq!(config.valid, Some(vec![kept]));
}
