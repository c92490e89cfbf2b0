//! Datagrams that a pod hands to its kernel as one large packet, as QUIC does, to a pod that takes them one by one.
//!
//! The large packet crosses nodes whole and is cut where it arrives, which goes wrong in silence if the tunnel leaves marks on it.

mod support;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};
use support::{Lab, Pod};
use tombolo_linux::udp;

const DATAGRAM: usize = 1200;
/// As many as surely fit a socket's buffer.
const BURST: usize = 20;
const BURSTS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(5);

fn bound(pod: &Pod, address: IpAddr) -> UdpSocket {
    let socket = pod.netns.run(|| UdpSocket::bind((address, 0)).unwrap());
    socket.unwrap()
}

/// How many of the burst's datagrams arrive, each as long as it was.
fn received(socket: &UdpSocket, sent_with: u8) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; DATAGRAM + 1];
    let mut count = 0;
    while count < BURST && Instant::now() < deadline {
        match socket.recv(&mut buffer) {
            Ok(DATAGRAM) if buffer[0] == sent_with => count += 1,
            // The first burst may come again, when the way was not known yet.
            Ok(DATAGRAM) => {}
            Ok(length) => panic!("a datagram of {length} bytes"),
            Err(_) => break,
        }
    }
    count
}

fn assert_bursts_arrive(from: &Pod, to: &Pod, target: IpAddr, words: &str) {
    let receiver = bound(to, target);
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let address: SocketAddr = receiver.local_addr().unwrap();
    let any: IpAddr = match target {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let sender = bound(from, any);
    udp::set_segment(&sender, DATAGRAM as u16).expect("Linux 4.18");
    for burst in 0..BURSTS {
        let mark = burst as u8;
        sender.send_to(&[mark; DATAGRAM * BURST], address).unwrap();
        let count = received(&receiver, mark);
        assert_eq!(count, BURST, "{words}: burst {burst} to {target}");
    }
}

#[test]
fn bursts_of_datagrams_arrive_whole() {
    for words in [
        "--routing-mode tunnel",
        "--routing-mode tunnel --underlay ipv6",
        "--routing-mode native",
    ] {
        let lab = Lab::up("gso", &format!("--nodes 2 --pods 1 {words}"));
        let from = lab.pod("c1-n1-p1");
        // Between clusters, routers cut the packet before it arrives; within one it stays whole.
        for name in ["c1-n2-p1", "c2-n1-p1"] {
            let to = lab.pod(name);
            for target in &to.addresses {
                assert_bursts_arrive(&from, &to, *target, words);
            }
        }
    }
}
