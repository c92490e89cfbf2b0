//! UDP sockets: what the standard library does not offer of them.

use crate::{Error, Result};
use std::{io, net::UdpSocket, os::fd::AsRawFd as _};

/// Has each write be cut into datagrams of `bytes` by the kernel, as late as it can; 0 for no cutting.
pub fn set_segment(socket: &UdpSocket, bytes: u16) -> Result<()> {
    let value = libc::c_int::from(bytes);
    // SAFETY: the socket is open for the length of the call, and `value` outlives it and has the size that is said.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(Error::system(
            "set",
            format!("datagrams of {bytes} bytes"),
            io::Error::last_os_error(),
        ))
    }
}
