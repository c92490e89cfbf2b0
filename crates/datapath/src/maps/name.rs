//! `NAME_SOCKETS`: the agent's sockets that answer questions for names. Whoever asks at a frontend where the agent answers is led
//! to the one of its family and protocol.
//!
//! The kernel takes a socket out when it is closed, so whoever asks after an agent has ended is led to a backend.

use crate::Error;
use aya::maps::{Map, MapData, MapError, SockMap};
use std::{
    net::IpAddr,
    os::fd::{AsFd, AsRawFd as _},
    path::Path,
};
use tombolo_abi::name_socket;
use tombolo_model::service::Protocol;

const NAME: &str = "NAME_SOCKETS";
/// Whatever is there is replaced.
const ANY: u64 = 0;

pub struct NameSockets(SockMap<MapData>);

impl NameSockets {
    pub(crate) fn open(folder: &Path) -> Result<NameSockets, Error> {
        let failed = Error::map(NAME, "opening");
        let open = || SockMap::try_from(Map::SockMap(MapData::from_pin(folder.join(NAME))?));
        open().map(NameSockets).map_err(failed)
    }

    /// From now on questions are led to this socket, as long as it is open.
    pub fn lead(&mut self, ip: IpAddr, protocol: Protocol, socket: impl AsFd) -> Result<(), Error> {
        let index = index(ip.is_ipv4(), protocol);
        let socket = socket.as_fd().as_raw_fd();
        let set = self.0.set(index, &socket, ANY);
        set.map_err(Error::map(NAME, "setting"))
    }

    /// From now on questions are led to none, although they may be open.
    pub fn clear(&mut self) -> Result<(), Error> {
        for is_v4 in [true, false] {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                match self.0.clear_index(&index(is_v4, protocol)) {
                    Err(error) if !is_absent(&error) => {
                        return Err(Error::map(NAME, "clearing")(error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn index(is_v4: bool, protocol: Protocol) -> u32 {
    name_socket(is_v4, protocol == Protocol::Tcp)
}

fn is_absent(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound => true,
        MapError::SyscallError(error) => {
            let code = error.io_error.raw_os_error();
            matches!(code, Some(libc::ENOENT | libc::EINVAL))
        }
        _ => false,
    }
}
