use super::{create::vxlan, *};
use crate::testing::Scratch;
use std::collections::BTreeMap;

const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0a];
const PEER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0b];

#[test]
fn veth_joins_two_namespaces() {
    let (here, there) = (Scratch::new(), Scratch::new());
    let (near, far) = (here.netlink(), there.netlink());
    let veth = Veth {
        name: "near",
        mac: Some(MAC),
        mtu: 1450,
        peer_name: "far",
        peer_mac: Some(PEER_MAC),
        peer_netns: Some(&there),
    };
    let index = near.create_veth(&veth).unwrap();
    assert!(near.create_veth(&veth).unwrap_err().is_exists());

    let link = near.link_by_index(index).unwrap().unwrap();
    let peer = far.link("far").unwrap().unwrap();
    assert_eq!(
        (link.name.as_str(), link.mac, link.mtu),
        ("near", Some(MAC), 1450)
    );
    assert_eq!(
        (peer.name.as_str(), peer.mac, peer.mtu),
        ("far", Some(PEER_MAC), 1450)
    );
    assert_eq!(
        (link.kind.as_deref(), link.peer),
        (Some("veth"), Some(peer.index))
    );
    assert_eq!(near.link("far").unwrap(), None);
    assert!(!link.up && !peer.up);

    near.set_up(index).unwrap();
    far.set_up(peer.index).unwrap();
    let link = near.link("near").unwrap().unwrap();
    assert!(link.up && link.running);
    far.set_down(peer.index).unwrap();
    let link = near.link("near").unwrap().unwrap();
    assert!(link.up && !link.running);

    near.delete_link(index).unwrap();
    assert_eq!(far.link("far").unwrap(), None);
    near.delete_link(index).unwrap();
}

#[test]
fn every_property_can_be_changed() {
    let (here, there) = (Scratch::new(), Scratch::new());
    let netlink = here.netlink();
    let index = netlink
        .create_veth(&Veth {
            name: "a",
            peer_name: "b",
            ..Veth::default()
        })
        .unwrap();
    let bridge = netlink.create_bridge("bridge").unwrap();
    netlink.set_mtu(index, 1280).unwrap();
    netlink.set_mac(index, MAC).unwrap();
    netlink.set_name(index, "fifteen-letters").unwrap();
    netlink.set_master(index, Some(bridge)).unwrap();
    netlink.set_alias(index, "tombolo: pod 1").unwrap();
    let link = netlink.link("fifteen-letters").unwrap().unwrap();
    let expected = Link {
        mtu: 1280,
        mac: Some(MAC),
        master: Some(bridge),
        alias: Some("tombolo: pod 1".into()),
        ..link.clone()
    };
    assert_eq!(link, expected);

    netlink.set_master(index, None).unwrap();
    netlink.set_alias(index, "").unwrap();
    let link = netlink.link_by_index(index).unwrap().unwrap();
    assert_eq!((link.master, link.alias), (None, None));

    netlink.set_netns(index, &there).unwrap();
    assert_eq!(netlink.link_by_index(index).unwrap(), None);
    assert_eq!(
        there
            .netlink()
            .link("fifteen-letters")
            .unwrap()
            .unwrap()
            .mac,
        Some(MAC)
    );
    let mut names: Vec<_> = netlink
        .links()
        .unwrap()
        .into_iter()
        .map(|link| link.name)
        .collect();
    names.sort();
    assert_eq!(names, ["b", "bridge", "lo"]);
}

#[test]
fn vxlan_takes_its_tunnel_from_the_packet() {
    let scratch = Scratch::new();
    let netlink = scratch.netlink();
    let index = netlink
        .create_vxlan_external("vxlan", 8472, MAC, 1450)
        .unwrap();
    let link = netlink.link("vxlan").unwrap().unwrap();
    assert_eq!(
        (link.kind.as_deref(), link.mac, link.mtu),
        (Some("vxlan"), Some(MAC), 1450)
    );
    netlink.set_up(index).unwrap();

    let mut data = BTreeMap::new();
    let request = Request::new(libc::RTM_GETLINK, libc::NLM_F_ACK, &head(index, 0, 0));
    let task = Task {
        operation: "read",
        subject: &"vxlan",
    };
    let take = |message: Message<'_>| {
        for (_, info) in message
            .attributes(HEAD)
            .filter(|(kind, _)| *kind == libc::IFLA_LINKINFO)
        {
            for (_, inner) in Attributes(info).filter(|(kind, _)| *kind == libc::IFLA_INFO_DATA) {
                data.extend(Attributes(inner).map(|(kind, value)| (kind, value.to_vec())));
            }
        }
    };
    netlink.ask(task, request, take).unwrap();
    for (kind, value) in [
        (vxlan::COLLECT_METADATA, &[1][..]),
        (vxlan::LEARNING, &[0]),
        (vxlan::UDP_ZERO_CSUM6_TX, &[1]),
        (vxlan::UDP_ZERO_CSUM6_RX, &[1]),
        (vxlan::PORT, &8472_u16.to_be_bytes()),
    ] {
        assert_eq!(
            data.get(&kind).map(Vec::as_slice),
            Some(value),
            "attribute {kind}"
        );
    }
}

#[test]
fn names_the_kernel_cannot_hold_are_refused() {
    let scratch = Scratch::new();
    let netlink = scratch.netlink();
    for name in ["", ".", "..", "a/b", "a b", "a:b", "sixteen-letters-"] {
        assert!(
            matches!(netlink.create_bridge(name), Err(Error::Name { .. })),
            "{name}"
        );
        assert!(
            matches!(netlink.link(name), Err(Error::Name { .. })),
            "{name}"
        );
    }
}

#[test]
fn refusal_carries_the_kernels_words() {
    let scratch = Scratch::new();
    let netlink = scratch.netlink();
    let index = netlink.create_bridge("bridge").unwrap();
    let error = netlink.set_mtu(index, 10_000_000).unwrap_err();
    assert_eq!(error.errno(), Some(libc::EINVAL));
    let Error::Refused { explanation, .. } = &error else {
        panic!("no explanation in {error:?}")
    };
    assert!(explanation.contains("mtu"), "{explanation}");
    assert_eq!(
        error.to_string(),
        format!("cannot set the MTU of link {index}: {explanation}")
    );
    assert!(netlink.set_up(4242).unwrap_err().is_not_found());
}
