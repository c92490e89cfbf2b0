use super::*;
use serde_json::json;

fn outcome() -> Outcome {
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    let address = |address: &str, gateway: &str| Address {
        version: None,
        address: net(address),
        gateway: Some(gateway.parse().unwrap()),
        interface: Some(1),
    };
    Outcome {
        interfaces: vec![
            Interface {
                name: "tmb3".into(),
                mac: "02:54:6f:6d:62:6f".into(),
                ..Interface::default()
            },
            Interface {
                name: "eth0".into(),
                mac: "02:00:00:00:00:07".into(),
                mtu: Some(1450),
                sandbox: "/run/netns/c1".into(),
                ..Interface::default()
            },
        ],
        addresses: vec![
            address("10.1.1.2/32", "10.1.1.1"),
            address("fd00::2/128", "fd00::1"),
        ],
        routes: vec![Route {
            mtu: Some(1450),
            ..Route::new(net("0.0.0.0/0"), Some("10.1.1.1".parse().unwrap()))
        }],
        dns: Dns::default(),
    }
}

#[test]
fn a_result_is_written_as_each_version_has_it() {
    let host = json!({"name": "tmb3", "mac": "02:54:6f:6d:62:6f"});
    let pod = json!({"name": "eth0", "mac": "02:00:00:00:00:07", "sandbox": "/run/netns/c1"});
    let mut pod_newest = pod.clone();
    pod_newest["mtu"] = 1450.into();
    let v4 = json!({"address": "10.1.1.2/32", "gateway": "10.1.1.1", "interface": 1});
    let v6 = json!({"address": "fd00::2/128", "gateway": "fd00::1", "interface": 1});
    let with_family = |address: &Value, family: &str| {
        let mut address = address.clone();
        address["version"] = family.into();
        address
    };
    for version in Version::ALL {
        let newest = version == Version::V1_1_0;
        let old = version < Version::V1_0_0;
        let mut route = json!({"dst": "0.0.0.0/0", "gw": "10.1.1.1"});
        if newest {
            route["mtu"] = 1450.into();
        }
        let expected = json!({
            "cniVersion": version,
            "interfaces": [host, if newest { &pod_newest } else { &pod }],
            "ips": if old { json!([with_family(&v4, "4"), with_family(&v6, "6")]) } else { json!([v4, v6]) },
            "routes": [route],
        });
        assert_eq!(outcome().render(version), expected, "{version}");
    }
}

#[test]
fn a_result_survives_writing_and_reading() {
    for version in Version::ALL {
        let mut read = Outcome::parse(outcome().render(version)).unwrap();
        for address in &mut read.addresses {
            address.version = None;
        }
        let mut expected = outcome();
        if version < Version::V1_1_0 {
            expected.interfaces[1].mtu = None;
            expected.routes[0].mtu = None;
        }
        assert_eq!(read, expected, "{version}");
    }
}

#[test]
fn a_chain_keeps_what_was_there_and_counts_on() {
    let mut chain = Outcome::parse(json!({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "net1", "sandbox": "/run/netns/c1"}],
        "ips": [{"address": "192.0.2.5/24", "interface": 0}],
        "dns": {"nameservers": ["192.0.2.53"]},
    }))
    .unwrap();
    let mut ours = outcome();
    ours.dns.domain = "not taken".into();
    chain.extend(ours);
    assert_eq!(
        chain.render(Version::V1_0_0),
        json!({
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "net1", "sandbox": "/run/netns/c1"},
                {"name": "tmb3", "mac": "02:54:6f:6d:62:6f"},
                {"name": "eth0", "mac": "02:00:00:00:00:07", "sandbox": "/run/netns/c1"},
            ],
            "ips": [
                {"address": "192.0.2.5/24", "interface": 0},
                {"address": "10.1.1.2/32", "gateway": "10.1.1.1", "interface": 2},
                {"address": "fd00::2/128", "gateway": "fd00::1", "interface": 2},
            ],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.1.1"}],
            "dns": {"nameservers": ["192.0.2.53"]},
        })
    );
}
