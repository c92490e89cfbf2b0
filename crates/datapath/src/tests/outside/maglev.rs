//! Tables: whoever has the same backends leads a connection to the same one, on any node and at any time.

use super::*;
use crate::Datapath;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tombolo_model::{
    change::{Place, Reach},
    id::{Identity, NodeSlot},
    service::maglev::Table,
};

const SIZE: u32 = 16_381;
const SEED: u64 = 7;
const FLOWS: u16 = 1500;

/// Pods of the node next to this one.
fn far(count: u8) -> Vec<String> {
    (0..count)
        .map(|number| format!("10.2.1.{}", 10 + number))
        .collect()
}

impl Node {
    fn seat(&mut self, pool: Frontend, addresses: &[String]) {
        for address in addresses {
            let reach = Reach {
                identity: Identity(131_400),
                place: Place::Remote(NodeSlot(1)),
            };
            self.apply(Change::AddressSet(net(address), reach));
            self.back(pool, address, 100);
        }
    }

    fn table(&mut self, pool: Frontend, size: u32, addresses: &[String]) {
        let weighed: Vec<(&str, u16)> = addresses.iter().map(|it| (it.as_str(), 100)).collect();
        self.weighed_table(pool, size, &weighed);
    }

    fn weighed_table(&mut self, pool: Frontend, size: u32, weighed: &[(&str, u16)]) {
        let members = weighed.iter().map(|(it, weight)| (backend(it), *weight));
        let table = Table::new(size, SEED, members).expect("a table");
        self.apply(Change::MaglevSet(pool, table));
    }

    fn choice(&mut self, number: u8, port: u16, flags: u8) -> (End, End) {
        let (client, asked) = ((ip(WORLD), port), (ip(NODE), NODE_PORT));
        let outcome = self.arrive(&packet(number, client, asked, flags, b""));
        ends(&outcome.packet)
    }

    /// Where the connections of so many ports of a client are led to.
    fn choices(&mut self, number: u8, flags: u8) -> BTreeMap<u16, (End, End)> {
        let ports = 2000..2000 + FLOWS;
        ports
            .map(|port| (port, self.choice(number, port, flags)))
            .collect()
    }

    fn reopen(&mut self) {
        // The test node silences the device, and then it takes no addresses.
        tombolo_linux::sysctl::set("net/ipv6/conf/tombolo_host/disable_ipv6", "0").expect("IPv6");
        let config = self.datapath.config().clone();
        self.datapath = Datapath::open(config).expect("opened again");
    }
}

fn chosen(choices: &BTreeMap<u16, (End, End)>) -> Vec<IpAddr> {
    choices.values().map(|(_, to)| to.0).collect()
}

fn moved(before: &BTreeMap<u16, (End, End)>, after: &BTreeMap<u16, (End, End)>) -> usize {
    let pairs = chosen(before).into_iter().zip(chosen(after));
    pairs.filter(|(a, b)| a != b).count()
}

#[test]
fn nodes_choose_alike_whatever_they_call_backends() {
    for number in [TCP, UDP] {
        let mut all = Vec::new();
        let addresses = far(7);
        let mut turned = addresses.clone();
        turned.reverse();
        for (order, other_first, flags) in [(&addresses, false, SYN), (&turned, true, ACK)] {
            on_node(RoutingMode::Native, |node| {
                if other_first {
                    node.open_to("203.0.113.9", UDP, &[POD_A, POD_B, FAR]);
                }
                let web = node.open_to(NODE, number, &[]);
                node.seat(web, order);
                node.table(web, SIZE, order);
                // The second one has heard of none of these before, and its first packets open nothing.
                all.push(chosen(&node.choices(number, flags)));
            });
        }
        assert!(all[0] == all[1], "{number}: two nodes disagree");
        assert_eq!(BTreeSet::from_iter(&all[0]).len(), 7);
    }
}

#[test]
fn both_families_are_led() {
    on_node(RoutingMode::Native, |node| {
        for (number, [own, world, pod, far, _]) in table() {
            let web = node.open_to(own, number, &[pod, far]);
            node.weighed_table(web, 251, &[(pod, 100), (far, 100)]);
            let to = |node: &mut Node, port| {
                let request = packet(number, (ip(world), port), (ip(own), NODE_PORT), SYN, b"");
                ends(&node.arrive(&request).packet).1.0
            };
            let seen: BTreeSet<IpAddr> = (3000..3020).map(|port| to(node, port)).collect();
            assert_eq!(seen, BTreeSet::from([ip(pod), ip(far)]));
        }
    });
}

#[test]
fn a_connection_that_was_forgotten_is_led_to_where_it_was() {
    on_node(RoutingMode::Native, |node| {
        let addresses = far(7);
        let web = node.open_to(NODE, TCP, &[]);
        node.seat(web, &addresses);
        node.table(web, SIZE, &addresses);
        let before = node.choices(TCP, SYN);
        node.forget_translations();
        let after = node.choices(TCP, ACK);
        assert_eq!(moved(&before, &after), 0);
        // The backend sees it come from the port that it knows, but where two connections wanted one.
        let same = before.iter().filter(|(port, ends)| after[port] == **ends);
        let same = same.count();
        println!("{same} of {FLOWS} kept the port that they were lent");
        assert!(same > usize::from(FLOWS) * 98 / 100, "{same}");
    });
}

#[test]
fn what_stands_is_adopted_at_a_restart() {
    on_node(RoutingMode::Native, |node| {
        let addresses = far(5);
        let web = node.open_to(NODE, TCP, &[]);
        node.seat(web, &addresses);
        node.table(web, SIZE, &addresses);
        let tables = node.datapath.recovered().expect("tables").maglev;
        let members = addresses.iter().map(|it| (backend(it), 100));
        let table = Table::new(SIZE, SEED, members).expect("a table");
        assert_eq!(tables, [(web, table.digest())]);
        let before = node.choices(TCP, SYN);
        node.reopen();
        assert_eq!(node.datapath.recovered().expect("tables").maglev, tables);
        node.forget_translations();
        assert_eq!(moved(&before, &node.choices(TCP, SYN)), 0);
        // A table that leads to who is gone is none to be adopted.
        node.apply(Change::BackendGone(web, backend(&addresses[0])));
        let tables = node.datapath.recovered().expect("tables").maglev;
        assert_ne!(tables, [(web, table.digest())]);
        node.apply(Change::MaglevGone(web));
        assert_eq!(node.datapath.recovered().expect("tables").maglev, []);
        assert_eq!(node.choices(TCP, SYN).len(), usize::from(FLOWS));
    });
}

#[test]
fn tables_of_pools_that_are_gone_go_too() {
    on_node(RoutingMode::Native, |node| {
        let web = node.open_to(NODE, TCP, &[POD_A, POD_B]);
        node.weighed_table(web, 251, &[(POD_A, 100), (POD_B, 100)]);
        node.apply(Change::FrontendGone(web));
        for pod in [POD_A, POD_B] {
            node.apply(Change::BackendGone(web, backend(pod)));
        }
        let count = |node: &Node| {
            let data = MapData::from_pin(node.map_path("MAGLEV")).expect("the map is pinned");
            let map = aya::maps::HashOfMaps::<_, u32>::try_from(Map::HashOfMaps(data));
            map.expect("the map").keys().count()
        };
        assert_eq!(count(node), 0);
        assert_eq!(node.datapath.recovered().expect("tables").maglev, []);
    });
}

#[test]
fn a_backend_that_goes_moves_few_connections_but_its_own() {
    on_node(RoutingMode::Native, |node| {
        let addresses = far(10);
        let web = node.open_to(NODE, TCP, &[]);
        node.seat(web, &addresses);
        node.table(web, SIZE, &addresses);
        let before = node.choices(TCP, SYN);
        let gone = ip(&addresses[3]);
        let its = chosen(&before).iter().filter(|it| **it == gone).count();
        let rest: Vec<String> = [&addresses[..3], &addresses[4..]].concat();
        node.table(web, SIZE, &rest);
        node.back(web, &addresses[3], 0);
        assert_eq!(
            moved(&before, &node.choices(TCP, ACK)),
            0,
            "who has one keeps it"
        );
        node.forget_translations();
        let moved = moved(&before, &node.choices(TCP, SYN));
        println!("{moved} of {FLOWS} moved, {its} were its own");
        assert!(
            moved >= its && moved as f64 <= its as f64 * 1.2,
            "{moved} of {its}"
        );
    });
}

#[test]
fn tables_of_any_size_take_each_others_place() {
    on_node(RoutingMode::Native, |node| {
        let web = node.open_to(NODE, TCP, &[POD_A, POD_B]);
        for size in [251, 131_071, 1021, 16_381] {
            node.weighed_table(web, size, &[(POD_A, 300), (POD_B, 100)]);
            let choices = node.choices(TCP, SYN);
            let first = chosen(&choices)
                .iter()
                .filter(|it| **it == ip(POD_A))
                .count();
            // Three quarters, within five standard deviations.
            let part = first as f64 / f64::from(FLOWS);
            println!(
                "{size} entries: {:.1} % of connections, of 75 %",
                part * 100.0
            );
            assert!((0.694..0.806).contains(&part), "{size}: {part}");
            node.forget_translations();
        }
    });
}

#[test]
fn a_client_that_is_remembered_goes_before_the_table() {
    let mut all = Vec::new();
    for _ in 0..2 {
        on_node(RoutingMode::Native, |node| {
            let web = frontend(NODE, TCP);
            let addresses = far(7);
            node.seat(web, &addresses);
            let path = FrontendPath {
                affinity_s: 600,
                outside: Some(web),
                ..FrontendPath::inside(web)
            };
            node.apply(Change::FrontendSet(web, path));
            node.table(web, SIZE, &addresses);
            let first = node.choice(TCP, 5000, SYN).1.0;
            for port in 5001..5020 {
                assert_eq!(
                    node.choice(TCP, port, SYN).1.0,
                    first,
                    "one client, one backend"
                );
            }
            let others: Vec<String> = addresses.into_iter().filter(|it| ip(it) != first).collect();
            node.table(web, SIZE, &others);
            assert_eq!(node.choice(TCP, 6000, SYN).1.0, first);
            all.push(first);
        });
    }
    assert_eq!(all[0], all[1], "by the client's address alone");
}

#[test]
fn a_table_with_a_backend_that_is_not_there_is_refused() {
    on_node(RoutingMode::Native, |node| {
        let web = node.open_to(NODE, TCP, &[POD_A]);
        let members = [POD_A, POD_B].map(|it| (backend(it), 100));
        let table = Table::new(251, SEED, members).expect("a table");
        let refused = node.datapath.apply(&Change::MaglevSet(web, table));
        let text = refused.expect_err("it can't be used").to_string();
        assert!(
            text.contains("a backend that the kernel has not taken"),
            "{text}"
        );
        assert_eq!(node.choice(TCP, 5000, SYN).1.0, ip(POD_A));
    });
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
#[ignore = "a measurement"]
fn how_long_a_table_takes() {
    on_node(RoutingMode::Native, |node| {
        let addresses = far(100);
        let web = node.open_to(NODE, TCP, &[]);
        node.seat(web, &addresses);
        for size in [16_381, 131_071] {
            let members = addresses.iter().map(|it| (backend(it), 100));
            let table = Table::new(size, SEED, members).expect("a table");
            let time = |task: &mut dyn FnMut(usize)| {
                let rounds = (0..21).map(|round| {
                    let start = Instant::now();
                    task(round);
                    start.elapsed()
                });
                median(rounds.collect())
            };
            let made = time(&mut |_| assert_eq!(table.entries().len(), size as usize));
            let placed = time(&mut |round| node.table(web, size, &addresses[round % 2..]));
            println!(
                "a table of {size}: made in {made:?}, made and in place of another in {placed:?}"
            );
        }
    });
}
