//! What agents of one cluster tell each other: of which nodes of other clusters they doubt.
//!
//! ```text
//!   version 1 │ cluster, two bytes │ address, sixteen bytes │ cluster …
//! ```
//! A datagram to each peer, from and to the nodes' own addresses among their pods, which no pod can have as its source. Nothing is
//! answered and nothing is believed: whoever hears of a doubt asks the node itself, so that who speaks falsely costs a question.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket},
};
use tokio::net::UdpSocket;
use tombolo_model::{health::Doubt, id::ClusterId};

/// Free in the lists of those who give out numbers, and next to those that Cilium's agents use.
pub const PORT: u16 = 4246;
const VERSION: u8 = 1;
const DOUBT_BYTES: usize = 18;
/// As many as one agent has to tell in a second, and less than any path carries.
const BYTES_MAX: usize = 1 + 32 * DOUBT_BYTES;
/// So many datagrams are read before others have their turn.
const BATCH: usize = 64;

pub struct Hearsay {
    socket: UdpSocket,
    /// The same one. Whether it takes something is asked of the kernel alone: before its first wait the runtime says that it does not.
    out: StdSocket,
    peers: BTreeSet<IpAddr>,
}

impl Hearsay {
    /// Without it all is found out by asking, some of it later. To be called within a runtime.
    pub fn open(own: IpAddr) -> Option<Hearsay> {
        let open = || -> io::Result<Hearsay> {
            let out = StdSocket::bind((own, PORT))?;
            out.set_nonblocking(true)?;
            Ok(Hearsay {
                socket: UdpSocket::from_std(out.try_clone()?)?,
                out,
                peers: BTreeSet::new(),
            })
        };
        match open() {
            Ok(hearsay) => Some(hearsay),
            Err(error) => {
                tracing::warn!(
                    address = %SocketAddr::from((own, PORT)), %error,
                    "other agents' doubts are not heard, so nodes that are asked in turns alone are found to be down later: \
                     free the port and restart the agent"
                );
                None
            }
        }
    }

    pub fn know(&mut self, peers: &[IpAddr]) {
        self.peers = peers.iter().copied().collect();
    }

    pub async fn readable(&self) {
        // Of a socket that fails nothing is read, and the next call waits.
        let _ = self.socket.readable().await;
    }

    /// What peers have told meanwhile; what comes of others is passed over. What is left of a flood is there the next time.
    pub fn receive(&self) -> Vec<Doubt> {
        let mut buffer = [0; BYTES_MAX];
        let mut doubts = Vec::new();
        for _ in 0..BATCH {
            let (length, from) = match self.socket.try_recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A peer that is away answers that nobody listens.
                Err(_) => continue,
            };
            if self.peers.contains(&from.ip()) && from.port() == PORT {
                doubts.extend(decode(&buffer[..length]).unwrap_or_default());
            }
        }
        doubts
    }

    pub fn tell(&self, doubts: &[Doubt]) {
        if doubts.is_empty() {
            return;
        }
        let datagram = encode(doubts);
        for peer in &self.peers {
            // Whoever does not hear of it finds out by itself.
            if let Err(error) = self.out.send_to(&datagram, (*peer, PORT)) {
                tracing::debug!(%peer, %error, "a peer was not told");
            }
        }
    }
}

fn encode(doubts: &[Doubt]) -> Vec<u8> {
    let mut datagram = vec![VERSION];
    for doubt in doubts {
        let address = match doubt.address {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        datagram.extend(doubt.cluster.0.to_be_bytes());
        datagram.extend(address.octets());
    }
    datagram
}

/// Nothing if it is of another version or cut.
fn decode(datagram: &[u8]) -> Option<Vec<Doubt>> {
    let (version, rest) = datagram.split_first()?;
    let (doubts, cut) = rest.as_chunks::<DOUBT_BYTES>();
    if *version != VERSION || !cut.is_empty() {
        return None;
    }
    let doubt = |bytes: &[u8; DOUBT_BYTES]| {
        let (cluster, address) = bytes.split_first_chunk::<2>()?;
        let address = Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?);
        Some(Doubt {
            cluster: ClusterId(u16::from_be_bytes(*cluster)),
            address: address.to_canonical(),
        })
    };
    doubts.iter().map(doubt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn doubts() -> Vec<Doubt> {
        let doubt = |cluster, address: &str| Doubt {
            cluster: ClusterId(cluster),
            address: address.parse().unwrap(),
        };
        vec![doubt(2, "10.2.0.1"), doubt(511, "fd00:10:2::1")]
    }

    #[test]
    fn what_is_told_is_heard_whole_or_not_at_all() {
        let datagram = encode(&doubts());
        assert_eq!(decode(&datagram), Some(doubts()));
        assert_eq!(decode(&[VERSION]), Some(Vec::new()));
        for length in [0, 2, DOUBT_BYTES, datagram.len() - 1] {
            assert_eq!(decode(&datagram[..length]), None, "{length}");
        }
        let mut other = datagram;
        other[0] = VERSION + 1;
        assert_eq!(decode(&other), None);
        assert!(encode(&[doubts()[0]; 32]).len() <= BYTES_MAX);
    }

    async fn heard(by: &Hearsay) -> Option<Vec<Doubt>> {
        let wait = async {
            loop {
                by.readable().await;
                let doubts = by.receive();
                if !doubts.is_empty() {
                    return doubts;
                }
            }
        };
        let patience = Duration::from_millis(500);
        tokio::time::timeout(patience, wait).await.ok()
    }

    #[tokio::test]
    async fn peers_hear_each_other_and_nobody_else() {
        let [one, two, stranger] = [11, 12, 13].map(|last| IpAddr::from([127, 46, 0, last]));
        let [mut first, mut second, mut third] =
            [one, two, stranger].map(|own| Hearsay::open(own).expect("the port is free"));
        first.know(&[two, stranger]);
        second.know(&[one]);
        third.know(&[one, two]);
        first.tell(&doubts());
        assert_eq!(heard(&second).await, Some(doubts()));
        assert_eq!(heard(&third).await, Some(doubts()));
        third.tell(&doubts());
        assert_eq!(heard(&first).await, Some(doubts()));
        // It is no peer of the second one's.
        assert_eq!(heard(&second).await, None);
        // Nor is who speaks from another port.
        let other = StdSocket::bind((one, 0)).unwrap();
        other.send_to(&encode(&doubts()), (two, PORT)).unwrap();
        assert_eq!(heard(&second).await, None);
    }
}
