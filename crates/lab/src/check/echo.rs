//! The asked side: answers each nonce with the name of who was reached and the address the asker was seen with.
//!
//! ```text
//!   question   nonce (8)
//!   answer     nonce (8), length (1), "name address"
//! ```

use super::{Family, icmp};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::Scope,
    time::Duration,
};

pub const NONCE_BYTES: usize = 8;
pub type Nonce = [u8; NONCE_BYTES];
/// How soon a server notices that it may end.
const NOTICE: Duration = Duration::from_millis(20);
const IDLE_MAX: Duration = Duration::from_secs(5);

/// The echo server of one address.
pub struct Server {
    name: String,
    tcp: TcpListener,
    udp: UdpSocket,
    icmp: UdpSocket,
    icmp_seen: Mutex<HashMap<Nonce, IpAddr>>,
    pub tcp_port: u16,
    pub udp_port: u16,
}

impl Server {
    /// Opens its sockets in the calling thread's namespace.
    pub fn open(name: &str, address: IpAddr) -> io::Result<Server> {
        let tcp = TcpListener::bind((address, 0))?;
        let udp = UdpSocket::bind((address, 0))?;
        let icmp = icmp::open(Family::of(address))?;
        udp.set_read_timeout(Some(NOTICE))?;
        icmp.set_read_timeout(Some(NOTICE))?;
        // A listener's read timeout bounds `accept`.
        let listener = Socket::from(tcp);
        listener.set_read_timeout(Some(NOTICE))?;
        let tcp = TcpListener::from(listener);
        Ok(Server {
            name: name.into(),
            tcp_port: tcp.local_addr()?.port(),
            udp_port: udp.local_addr()?.port(),
            tcp,
            udp,
            icmp,
            icmp_seen: Mutex::default(),
        })
    }

    /// Serves until `ended`.
    pub fn serve<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        ended: &'scope AtomicBool,
    ) {
        scope.spawn(move || self.serve_tcp(scope, ended));
        scope.spawn(move || self.serve_udp(ended));
        scope.spawn(move || self.witness_icmp(ended));
    }

    fn serve_tcp<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        ended: &'scope AtomicBool,
    ) {
        while !ended.load(Ordering::Relaxed) {
            if let Ok((stream, peer)) = self.tcp.accept() {
                // Askers that went away are their own business.
                scope.spawn(move || self.converse(stream, peer));
            }
        }
    }

    fn converse(&self, mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IDLE_MAX))?;
        loop {
            let mut nonce = [0; NONCE_BYTES];
            stream.read_exact(&mut nonce)?;
            stream.write_all(&self.answer(nonce, peer.ip()))?;
        }
    }

    fn serve_udp(&self, ended: &AtomicBool) {
        let mut nonce = [0; NONCE_BYTES];
        while !ended.load(Ordering::Relaxed) {
            if let Ok((NONCE_BYTES, peer)) = self.udp.recv_from(&mut nonce) {
                let _ = self.udp.send_to(&self.answer(nonce, peer.ip()), peer);
            }
        }
    }

    /// The kernel answers echo requests; this only notes whom they came from.
    fn witness_icmp(&self, ended: &AtomicBool) {
        let mut packet = [0; 512];
        while !ended.load(Ordering::Relaxed) {
            let Ok((length, peer)) = self.icmp.recv_from(&mut packet) else {
                continue;
            };
            if let Some(nonce) = icmp::nonce_of_request(Family::of(peer.ip()), &packet[..length]) {
                let mut seen = self.icmp_seen.lock().expect("no holder panics");
                seen.insert(nonce, peer.ip());
            }
        }
    }

    pub fn icmp_seen(&self, nonce: Nonce) -> Option<IpAddr> {
        let seen = self.icmp_seen.lock().expect("no holder panics");
        seen.get(&nonce).copied()
    }

    fn answer(&self, nonce: Nonce, seen: IpAddr) -> Vec<u8> {
        let text = format!("{} {seen}", self.name);
        let mut answer = nonce.to_vec();
        answer.push(u8::try_from(text.len()).expect("names and addresses are short"));
        answer.extend(text.as_bytes());
        answer
    }
}

/// Whom the text of an answer names, and the address it says the asker was seen with.
pub fn parse_text(text: &[u8]) -> io::Result<(String, IpAddr)> {
    let malformed = || io::Error::new(ErrorKind::InvalidData, "the answer is not ours");
    let text = std::str::from_utf8(text).map_err(|_| malformed())?;
    let (name, address) = text.split_once(' ').ok_or_else(malformed)?;
    Ok((name.into(), address.parse().map_err(|_| malformed())?))
}

pub fn any(family: Family) -> SocketAddr {
    match family {
        Family::Ipv4 => (Ipv4Addr::UNSPECIFIED, 0).into(),
        Family::Ipv6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// A raw socket behind the standard library's calls for datagrams.
pub fn raw(domain: Domain, protocol: Protocol, bind: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.bind(&SockAddr::from(bind))?;
    Ok(socket.into())
}
