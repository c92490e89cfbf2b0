//! Records that no honest cluster writes: of others' names and numbers, out of range, at keys that they disagree with.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use tombolo_kvstore::{Delete, Keys, Put};
use tombolo_model::record::{Address, AddressName, Name, Node, NodeAddress, RecordKey, Tree};

use crate::sim::{Sim, Writer};

/// The number of no cluster, ever.
const STRANGER: u32 = 200;

impl Sim {
    /// Somebody with an administrator's rights writes it into a store, or takes it away.
    pub(super) fn write_junk(&mut self) {
        let server = self.any(self.servers.len());
        let cluster = self.servers[server].cluster;
        let number = self.net.random.below(4) as u8;
        let (key, value) = self.junk(cluster, number);
        self.judge.junk.insert(key.clone());
        let now = self.net.local(self.servers[server].id);
        let goes = self.net.one_in(3);
        self.servers[server].memory().at(now, |mvcc, now| {
            let done = match goes {
                true => mvcc.delete(Delete::new(Keys::One(key)), now).map(drop),
                false => mvcc.put(Put::new(key, value), now).map(drop),
            };
            done.expect("a store takes any record");
        });
        self.written(server, Writer::Stranger);
        self.pump(server);
    }

    fn junk(&mut self, cluster: usize, number: u8) -> (Bytes, Vec<u8>) {
        let truth = &self.truths[cluster];
        let octet = cluster as u8 + 1;
        let ip = IpAddr::from(Ipv4Addr::new(10, 66, octet, number));
        let address = |identity: u32, ip: IpAddr| Address {
            name: AddressName { ip, length: None },
            host: Some(Ipv4Addr::new(192, 168, octet, 1).into()),
            identity,
            encryption_key: 0,
            metadata: String::new(),
            namespace: String::new(),
            pod: String::new(),
            service_account: String::new(),
            ports: Vec::new(),
        };
        let name = Name::Address(AddressName { ip, length: None });
        let key = |name| Bytes::from(RecordKey::new(Tree::State, &truth.name, name).to_string());
        match self.net.random.below(5) {
            0 => (key(name), address((STRANGER << 16) + 1000, ip).encode()),
            1 => {
                let other = IpAddr::from(Ipv4Addr::new(10, 66, octet, number + 1));
                let own = u32::from(truth.id) << 16;
                (key(name), address(own + 1000, other).encode())
            }
            2 => {
                let name = format!("evil{number}");
                let node = Node {
                    name: name.clone(),
                    cluster: truth.name.clone(),
                    cluster_id: STRANGER,
                    addresses: vec![NodeAddress {
                        kind: NodeAddress::INTERNAL.to_owned(),
                        ip: Some(ip),
                    }],
                    ..Node::default()
                };
                (key(Name::Node(name)), node.encode())
            }
            3 => {
                let key = format!("cilium/state/ip/v1/default/no-address-{number}");
                (key.into(), b"{}".to_vec())
            }
            _ => (
                key(Name::Node(format!("evil{number}"))),
                b"not JSON".to_vec(),
            ),
        }
    }
}
