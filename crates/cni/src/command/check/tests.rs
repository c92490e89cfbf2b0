use super::*;
use serde_json::{Value, json};
use tombolo_model::{
    id::{EndpointId, Identity},
    local::{Attachment, PodName},
    net::{Mac, PodAddresses},
};

fn endpoint() -> Endpoint {
    Endpoint {
        id: EndpointId(3),
        attachment: Attachment {
            container: "c1".into(),
            interface: "eth0".into(),
        },
        pod: PodName::default(),
        identity: Identity::INIT,
        addresses: PodAddresses {
            v4: Some("10.1.1.2".parse().unwrap()),
            v6: None,
        },
        host_interface: "tmb3".into(),
        state: EndpointState::Ready,
        ifindex: 12,
        mac: Some(Mac([2, 0, 0, 0, 0, 7])),
        rules: 0,
    }
}

fn previous() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": "net1", "sandbox": "/run/netns/c1"},
            {"name": "tmb3"},
            {"name": "eth0", "sandbox": "/run/netns/c1", "mtu": 1450},
        ],
        "ips": [
            {"address": "192.0.2.5/24", "gateway": "192.0.2.1", "interface": 0},
            {"address": "10.1.1.2/32", "gateway": "10.1.1.1", "interface": 2},
        ],
        "routes": [
            {"dst": "198.51.100.0/24", "gw": "192.0.2.1"},
            {"dst": "0.0.0.0/0", "gw": "10.1.1.1"},
        ],
    })
}

#[test]
fn only_what_is_ours_is_looked_for() {
    let expected = expect(&Outcome::parse(previous()).unwrap(), &endpoint()).unwrap();
    assert_eq!(expected.addresses, ["10.1.1.2/32".parse().unwrap()]);
    let default = ("0.0.0.0/0".parse().unwrap(), "10.1.1.1".parse().unwrap());
    assert_eq!(expected.routes, [default]);
    assert_eq!(expected.mtu, Some(1450));
    assert_eq!(expected.host_index, 12);
}

#[test]
fn agent_and_result_must_agree() {
    let mut reserved = endpoint();
    reserved.state = EndpointState::Reserved;
    let mut moved = endpoint();
    moved.addresses.v4 = Some("10.1.1.9".parse().unwrap());
    let mut unnamed = previous();
    unnamed["interfaces"][2]["name"] = "eth1".into();
    let cases = [
        (previous(), reserved, "not attached"),
        (previous(), moved, "10.1.1.9/32, which prevResult lacks"),
        (unnamed, endpoint(), "prevResult has no interface eth0"),
        (json!({}), endpoint(), "prevResult has no interface eth0"),
    ];
    for (previous, endpoint, message) in cases {
        let Err(error) = expect(&Outcome::parse(previous).unwrap(), &endpoint) else {
            panic!("{message}: not found");
        };
        assert_eq!(error.code(), 105);
        assert!(error.to_string().contains(message), "{error}");
    }
}
