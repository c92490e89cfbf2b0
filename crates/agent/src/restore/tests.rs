use super::*;
use tombolo_model::{
    change::{Direction, EndpointPath, PolicyEntry},
    id::Identity,
    local::{Attachment, PodName},
    net::{Mac, PodAddresses},
};

fn link(index: u32, name: &str, kind: &str) -> Link {
    Link {
        index,
        name: name.into(),
        mac: None,
        mtu: 1450,
        up: true,
        running: true,
        kind: Some(kind.into()),
        master: None,
        alias: None,
        peer: None,
    }
}

fn record(id: u16, ifindex: u32, name: &str) -> EndpointRecord {
    EndpointRecord {
        id: EndpointId(id),
        attachment: Attachment {
            container: name.into(),
            interface: "eth0".into(),
        },
        netns: String::new(),
        pod: PodName::default(),
        identity: Identity::INIT,
        addresses: PodAddresses {
            v4: Some([10, 1, 1, id as u8].into()),
            v6: None,
        },
        host_interface: name.into(),
        ifindex,
        mac: Mac::default(),
    }
}

fn json(record: &EndpointRecord) -> (EndpointId, Vec<u8>) {
    (record.id, serde_json::to_vec(record).unwrap())
}

#[test]
fn endpoints_stay_whose_interface_is_the_one_of_the_record() {
    let here = record(1, 7, "tmb1xabc");
    let records = [
        here.clone(),
        record(2, 8, "tmb2xabc"),
        record(3, 9, "tmb3xabc"),
        record(4, 10, "tmb4xabc"),
    ];
    let mut recovered = Recovered {
        records: records.iter().map(json).collect(),
        ..Recovered::default()
    };
    recovered.records.push((EndpointId(5), b"{".to_vec()));
    recovered
        .records
        .push((EndpointId(6), json(&record(7, 7, "tmb1xabc")).1));
    let links = [
        link(7, "tmb1xabc", "veth"),
        link(9, "tmb9xfff", "veth"),
        link(10, "eth0", "veth"),
        link(11, "tmb", "veth"),
        link(12, "tmb1", "veth"),
        link(13, "tmb5xabc", "dummy"),
        link(14, "tombolo_host", "veth"),
    ];
    let found = reconcile(recovered, &links, BTreeSet::new());
    assert_eq!(found.recovery.records, [here]);
    assert_eq!(found.useless, [2, 3, 4, 5, 6].map(EndpointId));
    assert_eq!(
        found.strays,
        [Stray {
            ifindex: 9,
            name: "tmb9xfff".into()
        }]
    );
}

#[test]
fn tables_are_as_the_model_would_write_them() {
    let all = [Direction::Egress, Direction::Ingress].map(PolicyEntry::allow_all);
    let path = EndpointPath {
        identity: Identity::INIT,
        ifindex: 7,
        mac: Mac::default(),
        addresses: PodAddresses::default(),
    };
    let recovered = Recovered {
        endpoints: vec![(EndpointId(1), path)],
        policies: vec![(EndpointId(1), all.to_vec())],
        ..Recovered::default()
    };
    let (tables, _) = to_tables(recovered, ["10.1.0.0/16".parse().unwrap()].into());
    assert_eq!(tables.policies[&EndpointId(1)], policy::normalise(&[]));
    assert_eq!(tables.routes.len(), 1);
}
