//! TCP sockets: what the standard library does not offer of them.

use crate::{Error, Result};
use rustix::net::{
    self, AddressFamily, SocketFlags, SocketType,
    sockopt::{set_ipv6_v6only, set_socket_reuseaddr},
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

const BACKLOG: i32 = 128;

/// Listens at a port of all the host's addresses, by a socket for each family that the host has; neither blocks.
pub fn listen_everywhere(port: u16) -> Result<Vec<TcpListener>> {
    let failed = |error| Error::system("listen", format!("at port {port}"), error);
    let v4 = listen((Ipv4Addr::UNSPECIFIED, port).into()).map_err(failed)?;
    match listen((Ipv6Addr::UNSPECIFIED, port).into()) {
        Ok(v6) => Ok(vec![v4, v6]),
        Err(error) if is_without_family(&error) => Ok(vec![v4]),
        Err(error) => Err(failed(error)),
    }
}

fn is_without_family(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        set_ipv6_v6only(&socket, true)?;
    }
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_have_the_port() {
        let open = listen_everywhere(0).expect("any port");
        let port = open[0].local_addr().expect("an address").port();
        assert_ne!(port, 0);
        drop(open);
        let open = listen_everywhere(port).expect("a free port");
        assert_eq!(open.len(), 2, "this host has IPv6");
        for listener in &open {
            assert_eq!(listener.local_addr().expect("an address").port(), port);
        }
        let error = listen_everywhere(port).expect_err("it is taken");
        assert_eq!(error.errno(), Some(libc::EADDRINUSE));
    }
}
