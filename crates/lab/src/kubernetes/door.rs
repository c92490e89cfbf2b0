//! The way from this machine to a cluster's API server, which stands in a network of its own.
//!
//! ```text
//!   client ── 127.0.0.1:PORT of this machine ── this process ── namespace of c1-control ── kube-apiserver
//! ```
//! Carries bytes and knows nothing of them: who may come in is the API server's to say.

use super::{API_PORT, api_addresses};
use crate::{
    Error,
    error::Result,
    plan::{MachineId, Namespace},
    state::State,
};
use std::{
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};
use tombolo_linux::netns::Netns;

const PATIENCE: Duration = Duration::from_secs(5);
/// Two threads each; more than a lab's own programs and its user ever open.
const CONNECTIONS_MAX: usize = 1024;

pub fn words(state: &State, cluster: u8) -> Vec<String> {
    let port = state.kubernetes.doors[&cluster];
    let to = SocketAddr::from((api_addresses(state, cluster)[0], API_PORT));
    let netns = Namespace::Machine(MachineId::Control(cluster)).name(&state.name);
    let words = ["lab", "door", &port.to_string(), &netns, &to.to_string()];
    words.map(str::to_owned).to_vec()
}

/// Ports of this machine that nobody has at this moment. All are held until the last is found, or one might be given twice.
pub fn free_ports(count: u8) -> Result<Vec<u16>> {
    let fail = || Error::file("find a free port of", "127.0.0.1");
    let listeners = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let listeners = listeners.collect::<io::Result<Vec<_>>>().map_err(fail())?;
    let addresses = listeners.iter().map(TcpListener::local_addr);
    let ports = addresses.map(|address| address.map(|address| address.port()));
    ports.collect::<io::Result<_>>().map_err(fail())
}

/// Serves until killed.
pub fn run(port: u16, netns: &str, to: SocketAddr) -> Result<()> {
    let netns = Netns::named(netns)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener =
        TcpListener::bind(address).map_err(Error::file("listen at", address.to_string()))?;
    let open = Arc::new(AtomicUsize::new(0));
    for client in listener.incoming() {
        let Ok(client) = client else { continue };
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            eprintln!("there are {CONNECTIONS_MAX} connections already; one more was refused");
            continue;
        }
        let server = netns.run(|| TcpStream::connect_timeout(&to, PATIENCE))?;
        let open = Arc::clone(&open);
        thread::spawn(move || {
            // Whoever went away has its reasons, and the other end sees it.
            if let Ok(server) = server {
                let _ = carry(&client, &server);
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    Ok(())
}

fn carry(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    thread::scope(|scope| {
        scope.spawn(|| one_way(client, server));
        one_way(server, client)
    })
}

/// The end of what one side says is the end of what the other hears.
fn one_way(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let copied = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    copied.map(drop)
}
