//! Sockets that the programs have led to a backend, and their end when that is dead: their users connect anew at once.
//!
//! Of a pod's other connections nothing is known here, and none of them is touched.

use crate::{
    Error,
    maps::{from_addr, sockets_led},
};
use aya::maps::{HashMap, MapData};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
};
use tombolo_abi::{SocketFrontend, SocketKey};
use tombolo_linux::sockets::Sockets;
use tombolo_model::service::{Backend, Protocol};

/// Where nobody is any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dead {
    Backend(Protocol, Backend),
    /// A pod that has had it has gone, with all its ports.
    Address(IpAddr),
}

/// What the programs remember of the sockets that they have led.
pub struct LedSockets {
    map: HashMap<MapData, SocketKey, SocketFrontend>,
}

impl LedSockets {
    pub(crate) fn open(maps: &Path) -> Result<LedSockets, Error> {
        Ok(LedSockets {
            map: sockets_led(maps)?,
        })
    }

    /// Those that were led to the dead, by their cookies. Some may have ended by themselves.
    pub fn led_to(&self, dead: &BTreeSet<Dead>) -> Result<BTreeMap<u64, BTreeSet<Place>>, Error> {
        let mut led: BTreeMap<u64, BTreeSet<Place>> = BTreeMap::new();
        for key in self.map.keys() {
            let key = key.map_err(Error::map("SOCKET_FRONTENDS", "reading"))?;
            let place = Place {
                protocol: key.protocol,
                ip: from_addr(key.addr).to_canonical(),
                port: u16::from_be(key.port),
            };
            if place.is_among(dead) {
                led.entry(key.cookie).or_default().insert(place);
            }
        }
        Ok(led)
    }
}

/// Where a socket was led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    protocol: u8,
    ip: IpAddr,
    port: u16,
}

impl Place {
    fn is_among(&self, dead: &BTreeSet<Dead>) -> bool {
        let Place { protocol, ip, port } = *self;
        let backend = Protocol::from_number(protocol)
            .map(|protocol| Dead::Backend(protocol, Backend { ip, port }));
        dead.contains(&Dead::Address(ip)) || backend.is_some_and(|it| dead.contains(&it))
    }
}

/// Ends those of `led` that are in this namespace and have their dead peer still. Returns how many.
pub fn end(
    sockets: &mut Sockets,
    led: &BTreeMap<u64, BTreeSet<Place>>,
) -> Result<usize, tombolo_linux::Error> {
    let mut ended = 0;
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for socket in sockets.connected(protocol.number())? {
            let place = Place {
                protocol: socket.protocol,
                ip: socket.peer,
                port: socket.peer_port,
            };
            let places = led.get(&socket.cookie);
            if places.is_some_and(|places| places.contains(&place)) && sockets.destroy(&socket)? {
                ended += 1;
            }
        }
    }
    Ok(ended)
}
