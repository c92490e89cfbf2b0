//! The tables of services as they are written: half done, too small, and late.

use super::*;

/// With room for so many backends alone.
fn open_small(node: &mut Node, backends_max: u32) {
    for map in ["SLOTS", "BACKENDS"] {
        fs::remove_file(node.map_path(map)).expect("it is pinned");
    }
    let config = crate::Config {
        backends_max,
        ..node.datapath.config().clone()
    };
    open(node, config);
}

pub fn table<K: aya::Pod, V: aya::Pod>(
    node: &Node,
    name: &str,
) -> aya::maps::HashMap<aya::maps::MapData, K, V> {
    let map = aya::maps::MapData::from_pin(node.map_path(name)).expect("the pinned map");
    let map = match name {
        "CLIENTS" => aya::maps::Map::LruHashMap(map),
        _ => aya::maps::Map::HashMap(map),
    };
    aya::maps::HashMap::try_from(map).expect("a hash map")
}

/// All that the four maps hold, in words.
pub fn maps(node: &Node) -> [Vec<String>; 4] {
    fn words<K: aya::Pod + std::fmt::Debug, V: aya::Pod + std::fmt::Debug>(
        node: &Node,
        name: &str,
    ) -> Vec<String> {
        let table = table::<K, V>(node, name);
        let mut words: Vec<String> = table
            .iter()
            .map(|row| format!("{:?}", row.expect("a row")))
            .collect();
        words.sort();
        words
    }
    [
        words::<tombolo_abi::FrontendKey, FrontendEntry>(node, "FRONTENDS"),
        words::<u32, PoolEntry>(node, "POOLS"),
        words::<SlotKey, SlotEntry>(node, "SLOTS"),
        words::<u32, BackendEntry>(node, "BACKENDS"),
    ]
}

#[test]
fn what_a_crash_left_half_done_is_put_right() {
    with_client(|node, client| {
        let servers: Vec<Server> = (2..5)
            .map(|last| Server::tcp(&format!("127.0.0.{last}:8080")))
            .collect();
        let web = frontend(WEB, Protocol::Tcp);
        for server in &servers {
            node.weigh(web, server.address(), 100);
        }
        node.serve(web);
        let whole = maps(node);
        // As if the agent had ended with the last one in two slots, a backend in none, and a pool that no frontend has.
        let mut slots = table::<SlotKey, SlotEntry>(node, "SLOTS");
        let pool = slots.keys().next().expect("a slot").expect("a key").pool;
        let last = slots.get(&SlotKey { pool, index: 2 }, 0).expect("the last");
        slots
            .insert(SlotKey { pool, index: 0 }, last, 0)
            .expect("written");
        slots
            .insert(SlotKey { pool: 99, index: 0 }, last, 0)
            .expect("written");
        let mut pools = table::<u32, PoolEntry>(node, "POOLS");
        pools.insert(99, PoolEntry::default(), 0).expect("written");
        let mut backends = table::<u32, BackendEntry>(node, "BACKENDS");
        let orphan = BackendEntry {
            pool: 99,
            ..BackendEntry::default()
        };
        backends.insert(500, orphan, 0).expect("written");
        let mut frontends = table::<tombolo_abi::FrontendKey, FrontendEntry>(node, "FRONTENDS");
        let key = tombolo_abi::FrontendKey::default();
        frontends
            .insert(key, FrontendEntry::new(98, false, false, 0), 0)
            .expect("written");
        reopen(node);
        let healed = maps(node);
        assert_eq!(
            [&healed[0], &healed[1], &healed[3]],
            [&whole[0], &whole[1], &whole[3]]
        );
        assert_eq!(healed[2].len(), 3, "{:?}", healed[2]);
        assert_eq!(tally(client, 60, &format!("tcp {WEB}")).len(), 3);
    });
}

#[test]
fn a_backend_for_which_there_is_no_room_is_refused_alone() {
    with_client(|node, client| {
        let server = Server::tcp("127.0.0.2:8080");
        open_small(node, 3);
        let [web, other] = [WEB, OTHER].map(|address| frontend(address, Protocol::Tcp));
        node.weigh(web, server.address(), 100);
        node.serve(web);
        node.weigh(other, "127.0.0.4:8080", 100);
        node.weigh(other, "127.0.0.5:8080", 0);
        let path = |weight| BackendPath {
            cluster: ClusterId(1),
            weight,
            lost: false,
        };
        let fourth = Change::BackendSet(web, backend("127.0.0.3:8080"), path(100));
        let error = node.datapath.apply(&fourth).expect_err("there is no room");
        assert!(chain(&error).contains("more than 3 backends"), "{error}");
        // Those that are there can be changed.
        node.weigh(web, server.address(), 50);
        node.weigh(other, "127.0.0.5:8080", 100);
        assert_eq!(tally(client, 10, &format!("tcp {WEB}")).len(), 1);
        node.unback(other, "127.0.0.4:8080");
        node.apply(fourth);
        assert_eq!(maps(node)[3].len(), 3);
    });
}

#[test]
fn what_was_put_off_and_can_not_be_written_stays_late() {
    with_client(|node, client| {
        let servers: Vec<Server> = (2..5)
            .map(|last| Server::tcp(&format!("127.0.0.{last}:8080")))
            .collect();
        let [web, other] = [WEB, OTHER].map(|address| frontend(address, Protocol::Tcp));
        open_small(node, 6);
        node.weigh(web, servers[0].address(), 100);
        node.serve(web);
        node.weigh(other, servers[0].address(), 100);
        node.weigh(other, servers[1].address(), 100);
        node.serve(other);
        // Others have taken the room but for one slot.
        let mut slots = table::<SlotKey, SlotEntry>(node, "SLOTS");
        let taken = [0, 1].map(|index| SlotKey { pool: 99, index });
        for key in taken {
            slots
                .insert(key, SlotEntry::default(), 0)
                .expect("there is room");
        }
        let path = BackendPath {
            cluster: ClusterId(1),
            weight: 100,
            lost: false,
        };
        let late =
            [1, 2].map(|at: usize| Change::BackendSet(web, backend(servers[at].address()), path));
        for _ in 0..2 {
            for change in &late {
                node.datapath.put_off(change).expect("it can be put off");
            }
            let error = node.datapath.settle().expect_err("there is no room");
            assert!(chain(&error).contains("SLOTS"), "{}", chain(&error));
        }
        // Who calls is led as before, and other services can be changed.
        assert_eq!(tally(client, 20, &format!("tcp {WEB}")).len(), 1);
        node.unback(other, servers[1].address());
        assert_eq!(tally(client, 20, &format!("tcp {OTHER}")).len(), 1);
        for key in taken {
            slots.remove(&key).expect("it was there");
        }
        // What is late is written before anything else of its service.
        node.unback(web, servers[0].address());
        let answers = tally(client, 60, &format!("tcp {WEB}"));
        assert_eq!(answers.len(), 2, "{answers:?}");
        let held = maps(node);
        assert_eq!((held[2].len(), held[3].len()), (3, 3));
    });
}
