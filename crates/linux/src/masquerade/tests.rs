use super::*;
use crate::{
    netns::Netns,
    route::Route,
    sysctl,
    testing::{Scratch, ip, net, wait_for},
};
use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

const MARK: u32 = 0x0a00;
const MASK: u32 = 0x0f00;
const MARKS: [(u32, bool); 5] = [
    (0, false),
    (0x0a00, true),
    (0x100a_a005, false),
    (0x0b00, false),
    (0x1000_0a05, true),
];

/// A client and a server with a router between them, which has no route of the server's back to the client to rely on:
/// the server knows its way to everything.
struct Network {
    client: Scratch,
    router: Scratch,
    server: Scratch,
}

impl Network {
    fn new() -> Network {
        let network = Network {
            client: Scratch::new(),
            router: Scratch::new(),
            server: Scratch::new(),
        };
        let Network {
            client,
            router,
            server,
        } = &network;
        client.join(
            "up",
            &["10.9.1.2/24", "fd00:9:1::2/64"],
            router,
            "inside",
            &["10.9.1.1/24", "fd00:9:1::1/64"],
        );
        server.join(
            "up",
            &["10.9.2.2/24", "fd00:9:2::2/64"],
            router,
            "outside",
            &["10.9.2.1/24", "fd00:9:2::1/64"],
        );
        for (end, gateways) in [
            (client, ["10.9.1.1", "fd00:9:1::1"]),
            (server, ["10.9.2.1", "fd00:9:2::1"]),
        ] {
            let netlink = end.netlink();
            let ifindex = netlink.link("up").unwrap().unwrap().index;
            for (destination, via) in ["0.0.0.0/0", "::/0"].into_iter().zip(gateways) {
                let route = Route {
                    destination: net(destination),
                    via: Some(ip(via)),
                    ifindex,
                    source: None,
                    mtu: None,
                    scope_link: false,
                    onlink: false,
                    protocol: 0xbb,
                    metric: None,
                    blackhole: false,
                };
                netlink.replace_route(&route).unwrap();
            }
        }
        let forward = || {
            sysctl::set("net/ipv4/ip_forward", "1").unwrap();
            sysctl::set("net/ipv6/conf/all/forwarding", "1").unwrap();
        };
        router.run(forward).unwrap();
        network
    }

    /// The source address that the server sees, and that its answer finds the client again.
    fn source_seen(&self, server: IpAddr) -> IpAddr {
        let bind = |netns: &Netns, address: IpAddr| {
            let socket = netns
                .run(|| UdpSocket::bind(SocketAddr::new(address, 0)).unwrap())
                .unwrap();
            socket
                .set_read_timeout(Some(Duration::from_millis(20)))
                .unwrap();
            socket
        };
        let listening = bind(&self.server, server);
        let client = if server.is_ipv4() {
            ip("10.9.1.2")
        } else {
            ip("fd00:9:1::2")
        };
        let asking = bind(&self.client, client);
        asking.connect(listening.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 16];
        let source = wait_for("request at the server", || {
            // The first may be lost while routes and neighbours settle.
            _ = asking.send(b"request");
            listening
                .recv_from(&mut buffer)
                .ok()
                .map(|(_, source)| source)
        });
        listening.send_to(b"answer", source).unwrap();
        wait_for("answer at the client", || asking.recv(&mut buffer).ok());
        assert_eq!(&buffer[..6], b"answer");
        source.ip()
    }
}

/// Marks everything that enters by routing, as the programs of the data path do in earnest.
fn mark_all(mark: u32) -> Result<()> {
    const TABLE: &str = "tombolo_test_marks";
    const CHAIN: &str = "prerouting";
    const META_SOURCE: u16 = 3;
    const IMMEDIATE_DESTINATION: u16 = 1;
    const IMMEDIATE_DATA: u16 = 2;
    const PRIORITY_MANGLE: i32 = -150;
    let table = |kind| {
        let mut request = message(kind, libc::NLM_F_ACK | libc::NLM_F_CREATE);
        request.text(nft::TABLE_NAME, TABLE);
        request
    };
    let mut chain = message(libc::NFT_MSG_NEWCHAIN, libc::NLM_F_ACK | libc::NLM_F_CREATE);
    chain
        .text(nft::CHAIN_TABLE, TABLE)
        .text(nft::CHAIN_NAME, CHAIN)
        .text(nft::CHAIN_TYPE, "filter");
    chain.nest(nft::CHAIN_HOOK, |hook| {
        hook.be32(nft::HOOK_NUMBER, libc::NF_INET_PRE_ROUTING as u32)
            .be32(nft::HOOK_PRIORITY, PRIORITY_MANGLE.cast_unsigned());
    });
    let mut rule = message(
        libc::NFT_MSG_NEWRULE,
        libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_APPEND,
    );
    rule.text(nft::RULE_TABLE, TABLE)
        .text(nft::RULE_CHAIN, CHAIN);
    rule.nest(nft::RULE_EXPRESSIONS, |list| {
        let register = libc::NFT_REG_1 as u32;
        expression(list, "immediate", |data| {
            data.be32(IMMEDIATE_DESTINATION, register);
            data.nest(IMMEDIATE_DATA, |value| _ = value.u32(nft::DATA_VALUE, mark));
        });
        expression(list, "meta", |data| {
            data.be32(nft::META_KEY, libc::NFT_META_MARK as u32)
                .be32(META_SOURCE, register);
        });
    });
    let clean = [
        table(libc::NFT_MSG_NEWTABLE),
        table(libc::NFT_MSG_DELTABLE),
        table(libc::NFT_MSG_NEWTABLE),
    ];
    transact("mark by", clean.into_iter().chain([chain, rule]))
}

#[test]
fn marked_packets_alone_are_masqueraded() {
    let network = Network::new();
    for round in 0..2 {
        // The second time it replaces what the first one made.
        network.router.run(|| install(MARK, MASK).unwrap()).unwrap();
        for (mark, is_ours) in MARKS {
            network.router.run(|| mark_all(mark).unwrap()).unwrap();
            for (server, client, router) in [
                ("10.9.2.2", "10.9.1.2", "10.9.2.1"),
                ("fd00:9:2::2", "fd00:9:1::2", "fd00:9:2::1"),
            ] {
                let expected = ip(if is_ours { router } else { client });
                assert_eq!(
                    network.source_seen(ip(server)),
                    expected,
                    "mark {mark:#x} to {server}, round {round}"
                );
            }
        }
    }
    network.router.run(|| remove().unwrap()).unwrap();
    network.router.run(|| mark_all(MARK).unwrap()).unwrap();
    assert_eq!(
        network.source_seen(ip("10.9.2.2")),
        ip("10.9.1.2"),
        "after the rule's removal"
    );
}

#[test]
fn installation_is_idempotent_and_stays_one_rule() {
    let scratch = Scratch::new();
    let check = || {
        assert!(!installed().unwrap());
        remove().unwrap();
        for mark in [MARK, MARK, 0x0100] {
            install(mark, MASK).unwrap();
            assert_eq!(rules(), 1);
        }
        assert!(installed().unwrap());
        remove().unwrap();
        assert!(!installed().unwrap());
        remove().unwrap();
    };
    scratch.run(check).unwrap();
}

fn rules() -> usize {
    let request = || {
        let mut request = message(libc::NFT_MSG_GETRULE, libc::NLM_F_DUMP);
        request.text(nft::RULE_TABLE, TABLE);
        request
    };
    open().unwrap().dump(request, |_| Some(())).unwrap().len()
}
