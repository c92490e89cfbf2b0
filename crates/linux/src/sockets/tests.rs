use super::*;
use crate::testing::Scratch;
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
};

const TCP: u8 = 6;
const UDP: u8 = 17;

fn led_to(sockets: &mut Sockets, protocol: u8, peer: SocketAddr) -> Vec<Connected> {
    let all = sockets.connected(protocol).unwrap();
    let led = all
        .into_iter()
        .filter(|it| (it.peer, it.peer_port) == (peer.ip(), peer.port()));
    led.collect()
}

fn in_scratch(test: impl FnOnce() + Send) {
    Scratch::new().run(test).unwrap();
}

#[test]
fn a_connection_that_is_ended_tells_its_user_and_others_go_on() {
    in_scratch(|| {
        let mut sockets = Sockets::open().unwrap();
        for (dead, alive, called) in [
            ("127.0.0.1:0", "127.0.0.2:0", None),
            ("[::1]:0", "127.0.0.2:0", None),
            // A socket of IPv6 that speaks IPv4.
            ("127.0.0.1:0", "[::1]:0", Some("::ffff:127.0.0.1")),
        ] {
            let (dead, alive) = (
                TcpListener::bind(dead).unwrap(),
                TcpListener::bind(alive).unwrap(),
            );
            let (dead_at, alive_at) = (dead.local_addr().unwrap(), alive.local_addr().unwrap());
            let call = called.map_or(dead_at, |ip| {
                SocketAddr::new(ip.parse().unwrap(), dead_at.port())
            });
            let mut one = TcpStream::connect(call).unwrap();
            let mut other = TcpStream::connect(alive_at).unwrap();
            let (mut far, _) = alive.accept().unwrap();
            let led = led_to(&mut sockets, TCP, dead_at);
            assert_eq!(led.len(), 1, "{dead_at}");
            assert!(sockets.destroy(&led[0]).unwrap());
            let error = one.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
            other.write_all(b"x").unwrap();
            far.read_exact(&mut [0]).unwrap();
            assert_eq!(led_to(&mut sockets, TCP, dead_at), []);
            assert!(!sockets.destroy(&led[0]).unwrap());
        }
    });
}

#[test]
fn datagrams_of_a_connected_socket_end_too() {
    in_scratch(|| {
        let mut sockets = Sockets::open().unwrap();
        let there = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = there.local_addr().unwrap();
        let here = UdpSocket::bind("127.0.0.1:0").unwrap();
        here.connect(at).unwrap();
        let led = led_to(&mut sockets, UDP, at);
        assert_eq!(led.len(), 1);
        assert!(sockets.destroy(&led[0]).unwrap());
        let error = here.recv(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    });
}

#[test]
fn sockets_of_another_namespace_are_found_from_outside() {
    in_scratch(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let _stream = TcpStream::connect(at).unwrap();
        let there = Netns::current().unwrap();
        in_scratch(|| {
            let mut own = Sockets::open().unwrap();
            assert_eq!(led_to(&mut own, TCP, at), []);
            let mut other = Sockets::open_in(&there).unwrap();
            assert_eq!(led_to(&mut other, TCP, at).len(), 1);
        });
    });
}
