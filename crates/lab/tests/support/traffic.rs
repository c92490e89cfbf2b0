//! Traffic between two pods whose every loss is noticed: pings each 2 ms, a TCP stream, large datagrams.

use super::Pod;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const PING_EVERY: Duration = Duration::from_millis(2);
/// The stream is never at rest, but leaves the processors to the programs under test.
const STREAM_EVERY: Duration = Duration::from_millis(1);
const STREAM_CHUNK: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);
const LAST_REPLY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Flooded {
    pub pings: usize,
    pub lost: usize,
    pub streamed: usize,
}

/// Pings and streams from one pod to the other while `during` runs; a reset or a stall of the stream panics.
pub fn flood(from: &Pod, to: &Pod, target: IpAddr, during: impl FnOnce()) -> Flooded {
    let listener = to
        .netns
        .run(|| TcpListener::bind((target, 0)).unwrap())
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = || TcpStream::connect_timeout(&(target, port).into(), PATIENCE).unwrap();
    let stream = from.netns.run(connect).unwrap();
    let (peer, _) = listener.accept().unwrap();
    let raw = from.netns.run(|| icmp_socket(target)).unwrap();

    let ended = AtomicBool::new(false);
    let counted = Counted::default();
    thread::scope(|scope| {
        let writer = scope.spawn(|| write_stream(stream, &ended));
        let reader = scope.spawn(|| read_stream(peer));
        let pinger = scope.spawn(|| ping(&raw, target, &ended));
        let counter = scope.spawn(|| count_replies(&raw, target.is_ipv4(), &ended, &counted));
        {
            let _end = End(&ended);
            wait_for_first(&counted);
            during();
            // What comes after matters as much.
            thread::sleep(Duration::from_millis(500));
        }
        let sent = writer
            .join()
            .unwrap()
            .expect("the stream was reset while writing");
        let read = reader
            .join()
            .unwrap()
            .expect("the stream was reset while reading");
        assert_eq!(sent, read, "the stream lost bytes");
        let pings = pinger.join().unwrap();
        let replies = counter.join().unwrap();
        Flooded {
            pings,
            lost: pings - replies,
            streamed: read,
        }
    })
}

/// Ends the traffic, also when the test fails: the scope waits for the threads.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Counted {
    replies: AtomicUsize,
}

fn wait_for_first(counted: &Counted) {
    super::wait_until("the first reply", PATIENCE, || {
        counted.replies.load(Ordering::Relaxed) > 10
    });
}

fn write_stream(mut stream: TcpStream, ended: &AtomicBool) -> io::Result<usize> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let chunk = [0x5a; STREAM_CHUNK];
    let mut sent = 0;
    while !ended.load(Ordering::Relaxed) {
        stream.write_all(&chunk)?;
        sent += chunk.len();
        thread::sleep(STREAM_EVERY);
    }
    Ok(sent)
}

fn read_stream(mut stream: TcpStream) -> io::Result<usize> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = vec![0; 64 * 1024];
    let mut read = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(read),
            length => read += length,
        }
    }
}

pub fn icmp_socket(target: IpAddr) -> UdpSocket {
    let (domain, protocol, any): (_, _, IpAddr) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol)).unwrap();
    socket.set_recv_buffer_size(4 << 20).unwrap();
    socket
        .bind(&SockAddr::from(SocketAddr::new(any, 0)))
        .unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    socket.into()
}

fn ping(raw: &UdpSocket, target: IpAddr, ended: &AtomicBool) -> usize {
    let mut sent = 0;
    let start = Instant::now();
    while !ended.load(Ordering::Relaxed) {
        let sequence = u16::try_from(sent % 65536).expect("it was bounded");
        raw.send_to(&echo_request(target.is_ipv4(), sequence), (target, 0))
            .expect("a ping was refused");
        sent += 1;
        let due = PING_EVERY * u32::try_from(sent).expect("tests are short");
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
    sent
}

pub fn echo_request(v4: bool, sequence: u16) -> Vec<u8> {
    let kind = if v4 { 8 } else { 128 };
    let [high, low] = sequence.to_be_bytes();
    let mut packet = vec![kind, 0, 0, 0, b't', b'l', high, low];
    if v4 {
        let words = packet
            .chunks(2)
            .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
        let sum: u32 = words.sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

fn count_replies(raw: &UdpSocket, v4: bool, ended: &AtomicBool, counted: &Counted) -> usize {
    let mut packet = [0; 256];
    let mut last = Instant::now();
    // Replies on the way when the last ping was sent count too.
    while !ended.load(Ordering::Relaxed) || last.elapsed() < LAST_REPLY {
        match raw.recv(&mut packet) {
            Ok(length) if is_reply(&packet[..length], v4) => {
                counted.replies.fetch_add(1, Ordering::Relaxed);
                last = Instant::now();
            }
            _ => {}
        }
    }
    counted.replies.load(Ordering::Relaxed)
}

/// Whether it answers a request of ours.
pub fn is_reply(packet: &[u8], v4: bool) -> bool {
    let (skip, kind) = if v4 { (20, 0) } else { (0, 129) };
    packet.len() >= skip + 8 && packet[skip] == kind && packet[skip + 4..skip + 6] == *b"tl"
}

/// Sends so many bytes by TCP as fast as they go and waits until all are there.
pub fn bulk(from: &Pod, to: &Pod, target: IpAddr, bytes: usize) -> Duration {
    let listener = to
        .netns
        .run(|| TcpListener::bind((target, 0)).unwrap())
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = || TcpStream::connect_timeout(&(target, port).into(), PATIENCE).unwrap();
    let mut stream = from.netns.run(connect).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let (peer, _) = listener.accept().unwrap();
    let start = Instant::now();
    thread::scope(|scope| {
        let reader = scope.spawn(|| read_stream(peer));
        let chunk = vec![0x5a; STREAM_CHUNK];
        for _ in 0..bytes / STREAM_CHUNK {
            stream.write_all(&chunk).expect("the bulk transfer stalled");
        }
        drop(stream);
        let read = reader.join().unwrap().expect("the bulk transfer stalled");
        assert_eq!(read, bytes / STREAM_CHUNK * STREAM_CHUNK);
    });
    start.elapsed()
}

/// Sends datagrams of `bytes` until one arrives whole; the first may be lost to learning the path's MTU.
pub fn large_datagram(from: &Pod, to: &Pod, target: IpAddr, bytes: usize) {
    let receiver = to
        .netns
        .run(|| UdpSocket::bind((target, 0)).unwrap())
        .unwrap();
    receiver
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let address = receiver.local_addr().unwrap();
    let any: IpAddr = match target {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let sender = from
        .netns
        .run(|| UdpSocket::bind((any, 0)).unwrap())
        .unwrap();
    let mut buffer = vec![0; bytes + 1];
    super::wait_until(
        &format!("a datagram of {bytes} to {target}"),
        PATIENCE,
        || {
            // A socket that has just learnt of a smaller MTU may say so once.
            let _ = sender.send_to(&vec![0x5a; bytes], address);
            matches!(receiver.recv(&mut buffer), Ok(length) if length == bytes)
        },
    );
}

/// Pings until one is answered; since when it was begun.
pub fn first_reply(from: &Pod, target: IpAddr, patience: Duration) -> Duration {
    let raw = from.netns.run(|| icmp_socket(target)).unwrap();
    let skip = if target.is_ipv4() { 20 } else { 0 };
    let kind = if target.is_ipv4() { 0 } else { 129 };
    raw.set_read_timeout(Some(PING_EVERY)).unwrap();
    let start = Instant::now();
    let mut packet = [0; 256];
    for sequence in 0.. {
        raw.send_to(&echo_request(target.is_ipv4(), sequence), (target, 0))
            .expect("a ping was refused");
        while let Ok((length, by)) = raw.recv_from(&mut packet) {
            if by.ip() == target && length >= skip + 8 && packet[skip] == kind {
                return start.elapsed();
            }
        }
        assert!(start.elapsed() < patience, "{target} never answered");
    }
    unreachable!("there are more sequence numbers than patience")
}

/// How many of so many pings were not answered.
pub fn lost_of_pings(from: &Pod, target: IpAddr, count: usize) -> usize {
    let raw = from.netns.run(|| icmp_socket(target)).unwrap();
    let ended = AtomicBool::new(false);
    let counted = Counted::default();
    thread::scope(|scope| {
        let counter = scope.spawn(|| count_replies(&raw, target.is_ipv4(), &ended, &counted));
        for sequence in 0..count {
            let sequence = u16::try_from(sequence).expect("tests are short");
            raw.send_to(&echo_request(target.is_ipv4(), sequence), (target, 0))
                .unwrap();
            thread::sleep(PING_EVERY);
        }
        ended.store(true, Ordering::Relaxed);
        count - counter.join().unwrap()
    })
}
