//! Services by real sockets: a process in the node's control group calls a frontend, and backends say who answers.

mod client;
mod names;
mod server;
mod speed;
mod tables;

use super::node::{NODE_V6, Node, chain, on_node};
use crate::{Datapath, Dead};
use client::Client;
use server::Server;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering},
};
use tables::maps;
use tombolo_abi::{BackendEntry, FrontendEntry, PoolEntry, SlotEntry, SlotKey};
use tombolo_linux::{cgroup, netlink::Netlink, sockets::Sockets};
use tombolo_model::{
    change::Change,
    id::ClusterId,
    net::RoutingMode,
    service::{Backend, BackendPath, Barred, Frontend, FrontendPath, Protocol},
};

const WEB: &str = "10.96.0.10:80";
const OTHER: &str = "10.96.0.11:80";
const WEB_V6: &str = "[fd00:96::10]:80";

/// Runs `test` on a node whose sockets are led to services, with a process among them.
fn with_client(test: impl FnOnce(&mut Node, &mut Client) + Send) {
    static NEXT_NAME: AtomicU32 = AtomicU32::new(0);
    let number = NEXT_NAME.fetch_add(1, Ordering::Relaxed);
    let group = format!("dp-service-{}-{number}", std::process::id());
    let folder = cgroup::create(&group).expect("a control group; run as root");
    let group = Group(group);
    on_node(RoutingMode::Native, |node| {
        let netlink = Netlink::open().expect("netlink");
        let lo = netlink.link("lo").expect("links").expect("lo").index;
        netlink.set_up(lo).expect("lo is up");
        let mut config = node.datapath.config().clone();
        config.cgroup = Some(folder.clone());
        open(node, config);
        let mut client = Client::start();
        cgroup::add(&group.0, client.pid()).expect("the process is in the group");
        test(node, &mut client);
    });
}

/// Goes also when the test fails.
struct Group(String);

impl Drop for Group {
    fn drop(&mut self) {
        // A second panic would end all tests.
        let _ = cgroup::remove(&self.0);
    }
}

fn open(node: &mut Node, config: crate::Config) {
    // The test node silences the device, and then it takes no addresses.
    tombolo_linux::sysctl::set("net/ipv6/conf/tombolo_host/disable_ipv6", "0").expect("IPv6");
    node.datapath = Datapath::open(config).unwrap_or_else(|error| panic!("{}", chain(&error)));
}

fn reopen(node: &mut Node) {
    let config = node.datapath.config().clone();
    open(node, config);
}

fn frontend(address: &str, protocol: Protocol) -> Frontend {
    let address: std::net::SocketAddr = address.parse().expect("an address");
    Frontend {
        ip: address.ip(),
        port: address.port(),
        protocol,
    }
}

fn backend(address: &str) -> Backend {
    let address: std::net::SocketAddr = address.parse().expect("an address");
    Backend {
        ip: address.ip(),
        port: address.port(),
    }
}

impl Node {
    fn serve(&mut self, pool: Frontend) {
        self.lead(pool, pool, 0);
    }

    fn lead(&mut self, frontend: Frontend, pool: Frontend, affinity_s: u32) {
        let path = FrontendPath {
            affinity_s,
            ..FrontendPath::inside(pool)
        };
        self.apply(Change::FrontendSet(frontend, path));
    }

    fn weigh(&mut self, pool: Frontend, address: &str, weight: u16) {
        let path = BackendPath {
            cluster: ClusterId(1),
            weight,
            lost: false,
        };
        self.apply(Change::BackendSet(pool, backend(address), path));
    }

    fn lose(&mut self, pool: Frontend, address: &str) {
        let path = BackendPath {
            cluster: ClusterId(1),
            weight: 0,
            lost: true,
        };
        self.apply(Change::BackendSet(pool, backend(address), path));
    }

    fn unback(&mut self, pool: Frontend, address: &str) {
        self.apply(Change::BackendGone(pool, backend(address)));
    }
}

/// Who answered how often.
fn tally(client: &mut Client, calls: usize, ask: &str) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for _ in 0..calls {
        let answer = client.ask(ask);
        let (who, _) = answer.split_once(" as ").unwrap_or((&answer, ""));
        *tally.entry(who.to_owned()).or_default() += 1;
    }
    tally
}

#[test]
fn callers_reach_all_backends_and_see_the_frontend() {
    with_client(|node, client| {
        let (one, two) = (Server::tcp("127.0.0.2:8080"), Server::tcp("127.0.0.3:8081"));
        let web = frontend(WEB, Protocol::Tcp);
        node.weigh(web, one.address(), 100);
        node.weigh(web, two.address(), 100);
        node.serve(web);
        let answered = tally(client, 100, &format!("tcp {WEB}"));
        assert_eq!(answered.len(), 2, "{answered:?}");
        assert!(answered.values().all(|calls| *calls >= 25), "{answered:?}");
        // Who the peer is, for a socket of either family.
        for (ask, peer) in [
            (WEB, WEB),
            ("[::ffff:10.96.0.10]:80", "[::ffff:10.96.0.10]:80"),
        ] {
            let answer = client.ask(&format!("tcp {ask}"));
            assert!(answer.ends_with(&format!(" as {peer}")), "{answer}");
        }
        // Another address that leads there too, and one that nobody has.
        let other = frontend("203.0.113.7:443", Protocol::Tcp);
        node.lead(other, web, 0);
        assert_eq!(tally(client, 40, "tcp 203.0.113.7:443").len(), 2);
        node.apply(Change::FrontendGone(other));
        assert_eq!(
            client.ask("tcp 203.0.113.7:443"),
            "error NetworkUnreachable"
        );
    });
}

#[test]
fn who_is_barred_is_refused() {
    with_client(|node, client| {
        let (tcp, udp) = (Server::tcp("127.0.0.2:8080"), Server::udp("127.0.0.2:5300"));
        let (web, dns) = (
            frontend(WEB, Protocol::Tcp),
            frontend("10.96.0.10:53", Protocol::Udp),
        );
        node.weigh(web, tcp.address(), 100);
        node.weigh(dns, udp.address(), 100);
        let asks = [format!("tcp {WEB}"), "udp 10.96.0.10:53".into()];
        let bar = |node: &mut Node, pods, own| {
            for pool in [web, dns] {
                let path = FrontendPath {
                    barred: Barred { pods, node: own },
                    affinity_s: 86_400,
                    ..FrontendPath::inside(pool)
                };
                node.apply(Change::FrontendSet(pool, path));
            }
        };
        let refused = |client: &mut Client| {
            asks.each_ref()
                .map(|ask| client.ask(ask) == "error ConnectionRefused")
        };
        for (pods, own) in [(false, false), (true, false), (false, true), (true, true)] {
            bar(node, pods, own);
            assert_eq!(refused(client), [own; 2], "{pods} {own}");
        }
        assert_eq!(client.ask("elsewhere"), "there");
        for (pods, own) in [(false, false), (true, false), (false, true), (true, true)] {
            bar(node, pods, own);
            // Without a way out of its namespace; a backend is not reached either, and says so otherwise.
            assert_eq!(refused(client), [pods; 2], "{pods} {own}");
        }
    });
}

#[test]
fn services_of_ipv6_are_led_too() {
    with_client(|node, client| {
        let server = Server::tcp(&format!("[{NODE_V6}]:8080"));
        let web = frontend(WEB_V6, Protocol::Tcp);
        node.weigh(web, server.address(), 100);
        node.serve(web);
        let answer = client.ask(&format!("tcp {WEB_V6}"));
        assert_eq!(answer, format!("{} as {WEB_V6}", server.address()));
        let echo = Server::udp(&format!("[{NODE_V6}]:5300"));
        let dns = frontend("[fd00:96::10]:53", Protocol::Udp);
        node.weigh(dns, echo.address(), 100);
        node.serve(dns);
        let answer = client.ask("udp [fd00:96::10]:53");
        assert_eq!(answer, format!("{} as [fd00:96::10]:53", echo.address()));
    });
}

#[test]
fn processes_of_other_groups_are_let_alone() {
    with_client(|node, client| {
        let server = Server::tcp("127.0.0.2:8080");
        let web = frontend(WEB, Protocol::Tcp);
        node.weigh(web, server.address(), 100);
        node.serve(web);
        assert_eq!(
            client.ask(&format!("tcp {WEB}")),
            format!("127.0.0.2:8080 as {WEB}")
        );
        let mut stranger = Client::start();
        assert_eq!(
            stranger.ask(&format!("tcp {WEB}")),
            "error NetworkUnreachable"
        );
    });
}

#[test]
fn nobody_there_is_refused_at_once() {
    with_client(|node, client| {
        let web = frontend(WEB, Protocol::Tcp);
        node.serve(web);
        assert_eq!(client.ask(&format!("tcp {WEB}")), "error ConnectionRefused");
        // One that only drains takes no new connection.
        node.weigh(web, "127.0.0.2:8080", 0);
        assert_eq!(client.ask(&format!("tcp {WEB}")), "error ConnectionRefused");
        let dns = frontend("10.96.0.10:53", Protocol::Udp);
        node.serve(dns);
        assert_eq!(client.ask("udp 10.96.0.10:53"), "error ConnectionRefused");
    });
}

#[test]
fn weights_are_shares() {
    with_client(|node, client| {
        let (one, two) = (Server::tcp("127.0.0.2:8080"), Server::tcp("127.0.0.3:8080"));
        let web = frontend(WEB, Protocol::Tcp);
        node.serve(web);
        node.weigh(web, one.address(), 100);
        node.weigh(web, two.address(), 25);
        let answered = tally(client, 400, &format!("tcp {WEB}"));
        // A fifth is 80; five deviations are 40.
        let few = answered[two.address()];
        assert!((40..=120).contains(&few), "{answered:?}");
        node.weigh(web, one.address(), 5);
        let answered = tally(client, 400, &format!("tcp {WEB}"));
        // A sixth is 67.
        let few = answered[one.address()];
        assert!((30..=105).contains(&few), "{answered:?}");
    });
}

#[test]
fn clients_of_services_that_remember_them_are_led_to_the_same_backend() {
    with_client(|node, client| {
        let all: Vec<Server> = (2..6)
            .map(|last| Server::tcp(&format!("127.0.0.{last}:8080")))
            .collect();
        let web = frontend(WEB, Protocol::Tcp);
        let other = frontend("203.0.113.7:443", Protocol::Tcp);
        for server in &all {
            node.weigh(web, server.address(), 100);
        }
        node.lead(web, web, 3600);
        node.lead(other, web, 3600);
        let ask = format!("tcp {WEB}");
        let mine = tally(client, 30, &ask);
        assert_eq!(mine.len(), 1, "{mine:?}");
        assert_eq!(
            tally(client, 30, "tcp 203.0.113.7:443").keys().next(),
            mine.keys().next()
        );
        reopen(node);
        assert_eq!(tally(client, 30, &ask), mine, "also after a restart");
        let table = node.datapath.recovered().expect("tables").frontends;
        assert!(
            table.iter().all(|(_, path)| path.affinity_s == 3600),
            "{table:?}"
        );
        // It takes nothing new: the client is led to another one, and stays there.
        let gone = mine.keys().next().expect("one").clone();
        node.weigh(web, &gone, 0);
        let next = tally(client, 30, &ask);
        assert_eq!(next.len(), 1, "{next:?}");
        assert!(!next.contains_key(&gone));
        node.weigh(web, &gone, 100);
        assert_eq!(tally(client, 30, &ask), next);
        // As if the last connection was longer ago than the service remembers.
        let mut clients =
            tables::table::<tombolo_abi::ClientKey, tombolo_abi::ClientEntry>(node, "CLIENTS");
        let mut seen = Vec::new();
        for _ in 0..20 {
            let (key, entry) = clients.iter().next().expect("a client").expect("an entry");
            let long_ago = entry.seen_s.wrapping_sub(3601);
            let entry = tombolo_abi::ClientEntry {
                seen_s: long_ago,
                ..entry
            };
            clients.insert(key, entry, 0).expect("written");
            seen.extend(tally(client, 1, &ask).into_keys());
        }
        seen.sort();
        seen.dedup();
        assert!(seen.len() > 1, "{seen:?}");
    });
}

#[test]
fn datagrams_of_a_socket_stay_with_a_backend_that_drains_until_it_is_gone() {
    with_client(|node, client| {
        let (one, two) = (Server::udp("127.0.0.2:5300"), Server::udp("127.0.0.3:5301"));
        let dns = frontend("10.96.0.10:53", Protocol::Udp);
        node.weigh(dns, one.address(), 100);
        node.weigh(dns, two.address(), 100);
        node.serve(dns);
        let ask = "udp-same 10.96.0.10:53";
        let first = tally(client, 50, ask);
        assert_eq!(first.len(), 1, "one socket, one backend: {first:?}");
        let (mine, other) = match first.contains_key(one.address()) {
            true => (one.address(), two.address()),
            false => (two.address(), one.address()),
        };
        node.weigh(dns, mine, 0);
        assert_eq!(client.ask(ask), format!("{mine} as 10.96.0.10:53"));
        let fresh = tally(client, 20, "udp 10.96.0.10:53");
        assert_eq!(fresh.keys().collect::<Vec<_>>(), [other]);
        node.unback(dns, mine);
        assert_eq!(client.ask(ask), format!("{other} as 10.96.0.10:53"));
    });
}

#[test]
fn datagrams_of_a_socket_leave_a_backend_that_is_lost() {
    with_client(|node, client| {
        let (one, two) = (Server::udp("127.0.0.2:5300"), Server::udp("127.0.0.3:5301"));
        let dns = frontend("10.96.0.10:53", Protocol::Udp);
        node.weigh(dns, one.address(), 100);
        node.serve(dns);
        let ask = "udp-same 10.96.0.10:53";
        let answer = |server: &Server| format!("{} as 10.96.0.10:53", server.address());
        assert_eq!(client.ask(ask), answer(&one));
        node.weigh(dns, two.address(), 100);
        assert_eq!(client.ask(ask), answer(&one));
        node.lose(dns, one.address());
        assert_eq!(client.ask(ask), answer(&two));
    });
}

#[test]
fn connections_end_that_were_led_to_the_dead_and_no_others() {
    with_client(|node, client| {
        // Whoever connects is not spoken to.
        let silent = |at: &str| TcpListener::bind(at).expect("an address");
        let (_one, _two) = (silent("127.0.0.2:8080"), silent("127.0.0.3:8080"));
        let web = frontend(WEB, Protocol::Tcp);
        node.serve(web);
        let address = "127.0.0.2:8080";
        let dead = |node: &mut Node| node.datapath.take_dead();
        let end = |node: &Node, dead: &BTreeSet<Dead>| {
            let led = node.datapath.led_sockets().and_then(|led| led.led_to(dead));
            let mut sockets = Sockets::open().expect("sock_diag");
            crate::end(&mut sockets, &led.expect("the map")).expect("sockets")
        };
        for lose in [
            |node: &mut Node, web, address: &str| node.lose(web, address),
            // Its pod is gone.
            |node: &mut Node, web, address: &str| {
                node.unback(web, address);
                let net = backend(address).ip.into();
                node.apply(Change::AddressGone(net));
            },
        ] {
            node.weigh(web, address, 100);
            assert_eq!(client.ask(&format!("hold {WEB}")), "held");
            // Not led there, but by its own will.
            let own = std::net::TcpStream::connect(address).expect("it listens");
            node.weigh(web, "127.0.0.3:8080", 100);
            assert_eq!(dead(node), BTreeSet::new());
            node.weigh(web, address, 0);
            assert_eq!(dead(node), BTreeSet::new(), "it drains");
            lose(node, web, address);
            let gone = dead(node);
            assert_eq!(end(node, &gone), 1, "{gone:?}");
            assert_eq!(client.ask("held"), "error ConnectionAborted");
            assert_eq!(end(node, &gone), 0);
            own.set_nonblocking(true).expect("a socket");
            let read = (&own).read(&mut [0]).expect_err("nobody speaks");
            assert_eq!(read.kind(), std::io::ErrorKind::WouldBlock);
            node.unback(web, "127.0.0.3:8080");
        }
    });
}

#[test]
fn callers_see_no_error_while_backends_change() {
    with_client(|node, client| {
        let all: Vec<Server> = (2..8)
            .map(|last| Server::tcp(&format!("127.0.0.{last}:8080")))
            .collect();
        let web = frontend(WEB, Protocol::Tcp);
        node.weigh(web, all[0].address(), 100);
        node.serve(web);
        client.tell(&format!("storm {WEB}"));
        for round in 0..300 {
            let (old, new) = (&all[round % 6], &all[(round + 1) % 6]);
            node.weigh(web, new.address(), 1 + (round as u16 * 37) % 200);
            if round % 3 == 0 {
                node.weigh(web, old.address(), 0);
            }
            node.unback(web, old.address());
            if round % 50 == 0 {
                node.datapath.replace_programs().expect("replaced");
            }
        }
        let told = client.ask("stop");
        let (calls, errors) = told.split_once(" calls, ").expect("two numbers");
        assert_eq!(errors, "0 errors", "of {calls}");
        let calls: usize = calls.parse().expect("a number");
        assert!(calls > 100, "{calls}");
    });
}

#[test]
fn services_work_while_nobody_is_there_and_are_found_again() {
    with_client(|node, client| {
        let (one, two) = (Server::tcp("127.0.0.2:8080"), Server::tcp("127.0.0.3:8081"));
        let web = frontend(WEB, Protocol::Tcp);
        let other = frontend("203.0.113.7:443", Protocol::Tcp);
        node.weigh(web, one.address(), 100);
        node.weigh(web, two.address(), 70);
        node.weigh(web, "127.0.0.4:8080", 0);
        node.serve(web);
        node.lead(other, web, 0);
        let before = node.datapath.recovered().expect("tables");
        let maps = maps(node);
        client.tell(&format!("storm {WEB}"));
        reopen(node);
        assert_eq!(
            client
                .ask("stop")
                .split_once(" calls, ")
                .expect("numbers")
                .1,
            "0 errors"
        );
        let after = node.datapath.recovered().expect("tables");
        assert_eq!(before.frontends, after.frontends);
        assert_eq!(before.backends, after.backends);
        assert_eq!(before.backends.len(), 3);
        assert_eq!(
            maps,
            self::maps(node),
            "nothing is written that stands already"
        );
        // What is known of it goes on being so.
        node.unback(web, one.address());
        node.unback(web, "127.0.0.4:8080");
        assert_eq!(
            client.ask("tcp 203.0.113.7:443"),
            "127.0.0.3:8081 as 203.0.113.7:443"
        );
        node.apply(Change::FrontendGone(other));
        node.apply(Change::FrontendGone(web));
        node.unback(web, two.address());
        let [frontends, pools, slots, backends] = self::maps(node);
        assert_eq!(
            [frontends, pools, slots, backends],
            [const { Vec::<String>::new() }; 4]
        );
    });
}

#[test]
fn without_a_group_no_socket_is_led() {
    with_client(|node, client| {
        let server = Server::tcp("127.0.0.2:8080");
        let web = frontend(WEB, Protocol::Tcp);
        node.weigh(web, server.address(), 100);
        node.serve(web);
        let mut config = node.datapath.config().clone();
        config.cgroup = None;
        open(node, config.clone());
        assert_eq!(
            client.ask(&format!("tcp {WEB}")),
            "error NetworkUnreachable"
        );
        let folder = std::env::temp_dir();
        config.cgroup = Some(folder.clone());
        open(node, config);
        let warnings = node.datapath.warnings().join("\n");
        assert!(
            warnings.contains("give --cgroup the folder"),
            "{} is no control group: {warnings}",
            folder.display()
        );
    });
}
