//! Datagrams from one end to the other, as fast as they go. Nothing is sent again, so only the receiver can count.

use std::io::ErrorKind;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::{PATIENCE, PORT, STEPS, join, rate, within};
use crate::bench::topology::Ends;

const DATAGRAM: [u8; 16] = [0x54; 16];
/// Room for what arrives while the sender, on the same CPU, has its time slice.
const DATAGRAM_BUFFER: usize = 8 << 20;

/// `cpus` are the sender's and the receiver's.
pub fn flood(ends: &Ends, cpus: (usize, usize), length: Duration) -> Result<f64> {
    let address = SocketAddrV4::new(ends.server.address, PORT);
    let (ready, is_ready) = sync_channel(1);
    thread::scope(|scope| {
        let server = scope.spawn(move || {
            within(&ends.server, cpus.1, || {
                let socket = UdpSocket::bind(address)?;
                set_socket_recv_buffer_size_force(&socket, DATAGRAM_BUFFER)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                ready.send(())?;
                rate(length, || {
                    socket.recv(&mut [0; DATAGRAM.len()])?;
                    Ok(())
                })
                .context("at the server")
            })
        });
        let client = scope.spawn(move || {
            within(&ends.client, cpus.0, || {
                is_ready
                    .recv_timeout(PATIENCE)
                    .context("waiting for the server")?;
                let socket = UdpSocket::bind("0.0.0.0:0")?;
                socket.connect(address)?;
                let deadline = Instant::now() + length + PATIENCE;
                while Instant::now() < deadline {
                    for _ in 0..STEPS {
                        match socket.send(&DATAGRAM) {
                            // The server has what it wanted and is gone.
                            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                                return Ok(());
                            }
                            result => result.context("at the client")?,
                        };
                    }
                }
                Ok(())
            })
        });
        let rate = join(server);
        join(client)?;
        rate
    })
}
