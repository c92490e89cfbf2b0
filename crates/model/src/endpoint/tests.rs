use super::*;

fn attachment(container: &str) -> Attachment {
    Attachment {
        container: container.into(),
        interface: "eth0".into(),
    }
}

#[test]
fn host_interface_fits_and_tells_lives_apart() {
    let names: Vec<String> = ["a", "b"]
        .map(|container| host_interface(EndpointId(ENDPOINTS_MAX), &attachment(container)))
        .into();
    assert!(
        names
            .iter()
            .all(|name| name.len() <= 15 && name.starts_with("tmb4095x")),
        "{names:?}"
    );
    assert_ne!(names[0], names[1]);
}

#[test]
fn longest_record_fits() {
    let attachment = Attachment {
        container: "c".repeat(200),
        interface: "i".repeat(15),
    };
    let pod = PodName {
        namespace: "s".repeat(63),
        name: "n".repeat(253),
    };
    let netns = "/".repeat(160);
    check_names(&attachment, &netns, &pod).unwrap();
    let record = EndpointRecord {
        id: EndpointId(ENDPOINTS_MAX),
        host_interface: host_interface(EndpointId(ENDPOINTS_MAX), &attachment),
        attachment,
        netns,
        pod,
        identity: Identity(u32::MAX),
        addresses: PodAddresses {
            v4: Some([255; 4].into()),
            v6: Some([0xffff; 8].into()),
        },
        ifindex: u32::MAX,
        mac: Mac([255; 6]),
    };
    let json = serde_json::to_vec(&record).unwrap();
    assert!(json.len() <= RECORD_LEN_MAX, "{}", json.len());
    assert_eq!(
        serde_json::from_slice::<EndpointRecord>(&json).unwrap(),
        record
    );
}

#[test]
fn odd_names_are_refused() {
    for (container, interface) in [
        ("", "eth0"),
        ("a b", "eth0"),
        ("a\"", "eth0"),
        ("a", ""),
        ("a", "sixteen-letters-"),
    ] {
        let attachment = Attachment {
            container: container.into(),
            interface: interface.into(),
        };
        assert!(
            check_names(&attachment, "", &PodName::default()).is_err(),
            "{attachment:?}"
        );
    }
}
