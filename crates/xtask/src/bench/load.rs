//! Makes load between two ends and measures how much of it arrives.
//!
//! Client and server of a measurement that waits for answers share one CPU: its rate is then 1 / (CPU time of the
//! whole path). On two CPUs it would rank the sides by how a virtual machine wakes a halted CPU.

mod udp;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::sync::mpsc::sync_channel;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::topology::{End, Ends};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Measure {
    /// One byte there and one back, on one connection
    #[value(name = "tcp_rr")]
    TcpRr,
    /// Connect, one byte there and one back, close
    #[value(name = "tcp_crr")]
    TcpCrr,
    /// Datagrams of 16 bytes, as fast as they go, sender and receiver on a CPU each; those received count
    #[value(name = "udp_pps")]
    UdpPps,
    /// The same with sender and receiver on one CPU
    #[value(name = "udp_pps_1cpu")]
    UdpPps1Cpu,
    /// Bulk on one connection
    #[value(name = "tcp_stream")]
    TcpStream,
    /// Bulk on four connections
    #[value(name = "tcp_stream_4")]
    TcpStream4,
}

impl Measure {
    pub fn name(self) -> &'static str {
        match self {
            Self::TcpRr => "tcp_rr",
            Self::TcpCrr => "tcp_crr",
            Self::UdpPps => "udp_pps",
            Self::UdpPps1Cpu => "udp_pps_1cpu",
            Self::TcpStream => "tcp_stream",
            Self::TcpStream4 => "tcp_stream_4",
        }
    }

    pub fn unit(self) -> &'static str {
        match self {
            Self::TcpRr | Self::TcpCrr => "transactions/s",
            Self::UdpPps | Self::UdpPps1Cpu => "packets/s",
            Self::TcpStream | Self::TcpStream4 => "Gbit/s",
        }
    }
}

pub const PORT: u16 = 5201;
/// A peer that is silent for so long is gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes handed to the kernel in one call of a stream.
const CHUNK: usize = 128 * 1024;
/// The clock is read once in so many steps.
const STEPS: u64 = 32;

/// Measures once; the answer is in `measure.unit()`.
pub fn run(measure: Measure, ends: &Ends, length: Duration) -> Result<f64> {
    let at = SocketAddrV4::new(ends.server.address, PORT);
    match measure {
        Measure::TcpRr => transactions(ends, at, length, answer_bytes, ask_bytes),
        Measure::TcpCrr => connections(ends, at, length),
        Measure::UdpPps => udp::flood(ends, (0, 1), length),
        Measure::UdpPps1Cpu => udp::flood(ends, (0, 0), length),
        Measure::TcpStream => streams(ends, length, 1),
        Measure::TcpStream4 => streams(ends, length, 4),
    }
}

/// Connections per second to `at`, which is where the server is, or leads there.
pub fn connections(ends: &Ends, at: SocketAddrV4, length: Duration) -> Result<f64> {
    transactions(ends, at, length, answer_connections, ask_connections)
}

/// Runs `body` in the end's namespace and on one CPU. For threads that do nothing else afterwards.
fn within<T>(end: &End, cpu: usize, body: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu % thread::available_parallelism().map_or(1, usize::from));
    sched_setaffinity(None, &cpus).context("choosing a CPU")?;
    end.enter()?;
    body()
}

fn listen(address: SocketAddrV4) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    // Accepted connections inherit it.
    set_socket_timeout(&listener, Timeout::Recv, Some(PATIENCE))?;
    Ok(listener)
}

fn connect(address: SocketAddrV4) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What a thread answered; its panic becomes an error.
fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .map_err(|_| anyhow!("a thread of the load generator panicked"))?
}

/// Steps per second of `length`, after a tenth of it for warming up.
fn rate(length: Duration, mut step: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut count = |length: Duration| -> Result<f64> {
        let start = Instant::now();
        let mut steps = 0_u64;
        while !steps.is_multiple_of(STEPS) || start.elapsed() < length {
            step()?;
            steps += 1;
        }
        Ok(steps as f64 / start.elapsed().as_secs_f64())
    };
    count(length / 10)?;
    count(length)
}

type Answer = fn(&TcpListener) -> Result<()>;
type Ask = fn(SocketAddrV4, Duration) -> Result<f64>;

fn transactions(
    ends: &Ends,
    at: SocketAddrV4,
    length: Duration,
    answer: Answer,
    ask: Ask,
) -> Result<f64> {
    let address = SocketAddrV4::new(ends.server.address, PORT);
    let (ready, is_ready) = sync_channel(1);
    thread::scope(|scope| {
        let server = scope.spawn(move || {
            within(&ends.server, 0, || {
                let listener = listen(address)?;
                ready.send(())?;
                answer(&listener).context("at the server")
            })
        });
        let client = scope.spawn(move || {
            within(&ends.client, 0, || {
                is_ready
                    .recv_timeout(PATIENCE)
                    .context("waiting for the server")?;
                ask(at, length).context("at the client")
            })
        });
        // Where the client fails, the server has waited in vain.
        let (rate, served) = (join(client), join(server));
        let rate = rate?;
        served.map(|()| rate)
    })
}

fn ask_bytes(address: SocketAddrV4, length: Duration) -> Result<f64> {
    let mut stream = connect(address)?;
    stream.set_nodelay(true)?;
    rate(length, || {
        stream.write_all(&[1])?;
        Ok(stream.read_exact(&mut [0])?)
    })
}

fn answer_bytes(listener: &TcpListener) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    while stream.read(&mut [0])? == 1 {
        stream.write_all(&[1])?;
    }
    Ok(())
}

fn ask_connections(address: SocketAddrV4, length: Duration) -> Result<f64> {
    let rate = rate(length, || {
        let mut stream = connect(address)?;
        stream.write_all(&[1])?;
        stream.read_exact(&mut [0])?;
        // The server closes first, so the port that has to wait is its own, and the client never runs out of ports.
        match stream.read(&mut [0])? {
            0 => Ok(()),
            _ => bail!("more than one byte came back"),
        }
    });
    drop(connect(address)?); // A connection without a byte ends the server.
    rate
}

fn answer_connections(listener: &TcpListener) -> Result<()> {
    loop {
        let (mut stream, _) = listener.accept()?;
        if stream.read(&mut [0])? == 0 {
            return Ok(());
        }
        stream.write_all(&[1])?;
    }
}

/// Sender and receiver of a stream have a CPU each, as far as there are enough.
fn streams(ends: &Ends, length: Duration, count: usize) -> Result<f64> {
    let address = |index: usize| SocketAddrV4::new(ends.server.address, PORT + index as u16);
    let (ready, is_ready) = sync_channel(count);
    thread::scope(|scope| {
        let servers: Vec<_> = (0..count)
            .map(|index| {
                let ready = ready.clone();
                scope.spawn(move || {
                    within(&ends.server, index + 1, || {
                        let listener = listen(address(index))?;
                        ready.send(())?;
                        receive(&listener, length).context("at the server")
                    })
                })
            })
            .collect();
        for _ in 0..count {
            is_ready
                .recv_timeout(PATIENCE)
                .context("waiting for the server")?;
        }
        let clients: Vec<_> = (0..count)
            .map(|index| {
                scope.spawn(move || within(&ends.client, index, || send(address(index), length)))
            })
            .collect();
        let rates: Vec<_> = servers.into_iter().map(join).collect();
        clients.into_iter().try_for_each(join)?;
        rates.into_iter().sum()
    })
}

/// Gbit/s of one connection.
fn receive(listener: &TcpListener, length: Duration) -> Result<f64> {
    let (mut stream, _) = listener.accept()?;
    let mut buffer = vec![0; CHUNK];
    let mut bytes_within = |length: Duration| -> Result<f64> {
        let start = Instant::now();
        let mut bytes = 0;
        while start.elapsed() < length {
            match stream.read(&mut buffer)? {
                0 => bail!("the stream ended too early"),
                count => bytes += count,
            }
        }
        Ok(bytes as f64 * 8e-9 / start.elapsed().as_secs_f64())
    };
    bytes_within(length / 10)?;
    bytes_within(length)
}

/// Sends until the receiver hangs up.
fn send(address: SocketAddrV4, length: Duration) -> Result<()> {
    let mut stream = connect(address)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let chunk = vec![0x54; CHUNK];
    let deadline = Instant::now() + length * 2 + PATIENCE;
    while Instant::now() < deadline {
        match stream.write(&chunk) {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error).context("at the client"),
        }
    }
    bail!("the receiver did not hang up")
}
