//! Ports of loopback for the servers that are compared.

use std::net::TcpListener;

use anyhow::{Context as _, Result};

/// Free at the moment, and of nobody else's choosing soon after. All are held until the last is found, or one might be
/// given twice.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
