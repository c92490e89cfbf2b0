//! Real sockets of a client in the world, in a network namespace of its own beyond the uplink, and of a process of the node.

use super::{
    errors::{ROUTER_BEYOND, ROUTER_BEYOND_V6},
    host::{BALANCER, BALANCER_V6, all},
    *,
};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};
use tombolo_linux::{link::Veth, netns::Netns};

const PATIENCE: Duration = Duration::from_secs(10);
const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 9];
/// More than a segment, and more than the first packets of a connection carry.
const LARGE: usize = 300_000;
/// Of a link that only the router before it knows.
const NARROW: u32 = 1300;

/// The client's machine, and the namespaces on the way there.
struct World {
    netns: Netns,
    names: Vec<String>,
}

impl World {
    /// At the other end of the uplink, where the node's gateway is too.
    fn beyond(node: &Node) -> World {
        let name = format!("{}-w", node.name());
        let netns = at_the_wire(node, &name, [WORLD, WORLD_V6]);
        World {
            netns,
            names: vec![name],
        }
    }

    /// Behind a router whose link to it takes smaller packets than either end knows of.
    fn beyond_a_narrow_link(node: &Node) -> World {
        let [router, client] = ["r", "w"].map(|end| format!("{}-{end}", node.name()));
        let between = at_the_wire(node, &router, [ROUTER_BEYOND, ROUTER_BEYOND_V6]);
        let netns = Netns::create(&client).expect("a network namespace");
        let forward = || {
            for switch in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
                tombolo_linux::sysctl::set(switch, "1").expect("it forwards");
            }
        };
        between.run(forward).expect("the namespace");
        let here = Netlink::open_in(&between).expect("netlink");
        let pair = Veth {
            name: "narrow",
            peer_name: "far",
            mtu: 1500,
            ..Veth::default()
        };
        let narrow = here.create_veth(&pair).expect("a pair");
        let far = here.link("far").expect("links").expect("the device").index;
        here.set_netns(far, &netns).expect("moved");
        let there = Netlink::open_in(&netns).expect("netlink");
        let far = there.link("far").expect("links").expect("the device").index;
        here.set_mtu(narrow, NARROW).expect("a small link");
        here.set_up(narrow).expect("up");
        there.set_up(far).expect("up");
        for (own, router, all) in [
            (WORLD, ROUTER_BEYOND, "0.0.0.0/0"),
            (WORLD_V6, ROUTER_BEYOND_V6, "::/0"),
        ] {
            there.add_address(far, net(own)).expect("an address");
            // Neighbours are found by addresses of the very link.
            here.add_address(narrow, net(router)).expect("an address");
            let to_client = route(own, None, narrow);
            here.replace_route(&to_client).expect("a route");
            let to_router = route(router, None, far);
            there.replace_route(&to_router).expect("a route");
            let to_all = route(all, Some(router), far);
            there.replace_route(&to_all).expect("a route");
        }
        World {
            netns,
            names: vec![client, router],
        }
    }

    fn connect(&self, to: End) -> std::io::Result<TcpStream> {
        let connect = || TcpStream::connect_timeout(&SocketAddr::from(to), PATIENCE);
        let stream = self.netns.run(connect).expect("the namespace")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// A socket that hears nobody else.
    fn datagrams(&self, to: End) -> UdpSocket {
        let any = if to.0.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let bound = self.netns.run(|| UdpSocket::bind(any));
        let socket = bound.expect("the namespace").expect("a socket");
        socket.connect(SocketAddr::from(to)).expect("a peer");
        socket.set_read_timeout(Some(PATIENCE)).expect("patience");
        socket
    }
}

impl std::ops::Drop for World {
    fn drop(&mut self) {
        for name in &self.names {
            // A second panic would end all tests.
            let _ = Netns::delete(name);
        }
    }
}

fn route(to: &str, via: Option<&str>, ifindex: u32) -> Route {
    Route {
        destination: net(to),
        via: via.map(ip),
        ifindex,
        source: None,
        mtu: None,
        scope_link: via.is_none(),
        onlink: via.is_some(),
        protocol: 4,
        metric: None,
        blackhole: false,
    }
}

/// A machine of these addresses at the other end of the uplink, by way of which the node reaches the world.
fn at_the_wire(node: &Node, name: &str, own: [&str; 2]) -> Netns {
    let netns = Netns::create(name).expect("a network namespace");
    let here = Netlink::open().expect("netlink");
    let wire = here.link("wire").expect("links").expect("the device");
    here.set_netns(wire.index, &netns).expect("moved");
    node.route_to_world();
    let there = Netlink::open_in(&netns).expect("netlink");
    let wire = there.link("wire").expect("links").expect("the device");
    let wire = wire.index;
    there.set_mac(wire, GATEWAY).expect("the gateway's address");
    there.set_up(wire).expect("up");
    // What the node has known of its gateway went with the carrier.
    for peer in [PEER, PEER_V6] {
        here.set_neighbour_permanent(node.uplink, ip(peer), GATEWAY)
            .expect("a neighbour");
    }
    let ends = [[NODE, BALANCER], [NODE_V6, BALANCER_V6]];
    for (own, [node, behind]) in own.into_iter().zip(ends) {
        there.add_address(wire, net(own)).expect("an address");
        there
            .set_neighbour_permanent(wire, ip(node), UPLINK_MAC)
            .expect("a neighbour");
        for (to, via) in [(node, None), (behind, Some(node))] {
            let route = route(to, via, wire);
            there.replace_route(&route).expect("a route");
        }
    }
    netns
}

/// Has the kernel itself make checksums of what leaves by the device, as late as it can, and so not trust what is in packets.
fn checksums_in_software(device: &str) {
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    const ETHTOOL_STXCSUM: u32 = 0x17;
    let mut off = [ETHTOOL_STXCSUM, 0];
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // SAFETY: plain integers, for which zero is a value; the kernel reads the two words while both live.
    let result = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_data = off.as_mut_ptr().cast();
        let socket = std::os::fd::AsRawFd::as_raw_fd(&socket);
        libc::ioctl(socket, SIOCETHTOOL, &raw mut request)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

fn end(address: SocketAddr) -> End {
    (address.ip(), address.port())
}

/// Each of the service's addresses is asked, and the process sees who asks.
fn is_served(node: &mut Node, world: &World) {
    for (number, [own, _, balancer]) in all() {
        let web = node.open_to(own, number, &[own]);
        let balanced = frontend(balancer, number);
        node.open_as(balanced, Some(web));
        for asked in [web, balanced] {
            let asked = (asked.ip, asked.port);
            if number == TCP {
                let server = TcpListener::bind((ip(own), PORT)).expect("a listener");
                speak_at_length(&server, world, asked);
            } else {
                let server = UdpSocket::bind((ip(own), PORT)).expect("a socket");
                exchange_datagrams(&server, world, asked);
            }
        }
    }
}

/// Whoever asks first; the process waits for it no longer than it does for the process.
fn accept(server: &TcpListener) -> (TcpStream, SocketAddr) {
    let (serving, client) = server.accept().expect("somebody asks");
    serving.set_read_timeout(Some(PATIENCE)).expect("patience");
    serving.set_write_timeout(Some(PATIENCE)).expect("patience");
    (serving, client)
}

fn speak_at_length(server: &TcpListener, world: &World, asked: End) {
    let mut client = world.connect(asked).expect("connected");
    let (mut serving, seen) = accept(server);
    let own = client.local_addr().expect("bound");
    assert_eq!(seen, own, "asked at {asked:?}");
    let said: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut heard = vec![0; LARGE];
            serving.read_exact(&mut heard).expect("a question");
            serving.write_all(&heard).expect("an answer");
        });
        client.write_all(&said).expect("a question");
        let mut heard = vec![0; LARGE];
        client.read_exact(&mut heard).expect("an answer");
        assert!(heard == said, "asked at {asked:?}");
    });
    // Both ends know that it is over.
    drop(serving);
    assert_eq!(client.read(&mut [0]).expect("the end"), 0);
}

fn exchange_datagrams(server: &UdpSocket, world: &World, asked: End) {
    server.set_read_timeout(Some(PATIENCE)).expect("patience");
    let client = world.datagrams(asked);
    let mut heard = [0; 2000];
    for length in [1, 64, 1400] {
        client.send(&vec![7; length]).expect("a question");
        let (count, from) = server.recv_from(&mut heard).expect("a question");
        let own = client.local_addr().expect("bound");
        assert_eq!((count, end(from).1), (length, own.port()));
        assert!([ip(WORLD), ip(WORLD_V6)].contains(&from.ip()), "{from}");
        server.send_to(&heard[..count], from).expect("an answer");
        assert_eq!(client.recv(&mut heard).expect("an answer"), length);
    }
}

#[test]
fn clients_reach_processes_of_the_node_that_they_ask() {
    for mode in [RoutingMode::Tunnel, RoutingMode::Native] {
        on_node(mode, |node| {
            let world = World::beyond(node);
            is_served(node, &world);
        });
    }
}

#[test]
fn checksums_are_right_whoever_makes_them() {
    on_node(RoutingMode::Tunnel, |node| {
        let world = World::beyond(node);
        checksums_in_software("up");
        let there = world.netns.run(|| checksums_in_software("wire"));
        there.expect("the namespace");
        is_served(node, &world);
    });
}

#[test]
fn a_port_where_nobody_listens_is_refused_at_once() {
    on_node(RoutingMode::Tunnel, |node| {
        let world = World::beyond(node);
        for own in [NODE, NODE_V6] {
            node.open_to(own, TCP, &[own]);
            let refused = world.connect((ip(own), NODE_PORT));
            let kind = refused.map_err(|error| error.kind()).err();
            assert_eq!(kind, Some(ErrorKind::ConnectionRefused));
        }
    });
}

#[test]
fn who_is_connected_to_the_process_by_itself_stays_so() {
    on_node(RoutingMode::Tunnel, |node| {
        let world = World::beyond(node);
        for own in [NODE, NODE_V6] {
            node.open_to(own, TCP, &[own]);
            let (asked, answers) = ((ip(own), NODE_PORT), (ip(own), PORT));
            let server = TcpListener::bind(SocketAddr::from(answers)).expect("a listener");
            let mut direct = world.connect(answers).expect("connected");
            let client = end(direct.local_addr().expect("bound"));
            let (mut serving, _) = accept(&server);
            // From the same port by the service, as another machine behind one address may.
            for flags in [SYN, ACK] {
                let outcome = node.arrive(&packets::tcp(client, asked, flags, b""));
                let (from, to) = ends(&outcome.packet);
                assert_eq!((from.0, to), (client.0, answers));
                assert_ne!(from.1, client.1, "the stack would take both for one");
                let answer = packets::tcp(answers, from, SYN | ACK, b"");
                let outcome = node.pass(At::Leaving, &answer);
                assert_eq!(ends(&outcome.packet), (asked, client));
            }
            serving.write_all(b"still here").expect("an answer");
            let mut heard = [0; 10];
            direct.read_exact(&mut heard).expect("an answer");
            assert_eq!(&heard, b"still here");
            // A port that nobody speaks from is kept, though the process listens.
            let other = (client.0, client.1 ^ 1);
            let outcome = node.arrive(&packets::tcp(other, asked, SYN, b""));
            assert_eq!(ends(&outcome.packet).0, other);
        }
    });
}

#[test]
fn answers_find_the_size_that_a_narrow_link_takes() {
    on_node(RoutingMode::Tunnel, |node| {
        let world = World::beyond_a_narrow_link(node);
        for own in [NODE, NODE_V6] {
            node.open_to(own, TCP, &[own]);
            let server = TcpListener::bind((ip(own), PORT)).expect("a listener");
            let mut client = world.connect((ip(own), NODE_PORT)).expect("connected");
            let (mut serving, _) = accept(&server);
            thread::scope(|scope| {
                scope.spawn(|| serving.write_all(&vec![7; LARGE]).expect("an answer"));
                let mut heard = vec![0; LARGE];
                client.read_exact(&mut heard).expect("an answer");
            });
        }
    });
}
