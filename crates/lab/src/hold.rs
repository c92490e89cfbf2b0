//! A client for pods that holds connections open: many to one address, each of which says a line every so often.

use crate::{
    Error,
    ask::{address, connect},
    error::Result,
};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Hold {
    /// To whom: tcp://10.1.0.7:7007
    #[arg(value_name = "URL")]
    url: String,
    /// How many connections are opened
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: u32,
    /// Seconds from when all are open until they are closed
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Close them earlier, once the standard input ends
    #[arg(long)]
    stdin: bool,
    /// Milliseconds between two lines of a connection
    #[arg(long, default_value_t = 1000)]
    every: u64,
    /// Seconds for which a connection may be silent before it counts as broken
    #[arg(long, default_value_t = 3)]
    timeout: u64,
}

/// What became of them.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Held {
    pub connections: usize,
    /// How many lines were said, and answered.
    pub lines: u64,
    /// How many connections each pod has had from the first line on.
    pub by: BTreeMap<String, usize>,
    pub broken: Vec<Broken>,
    /// The longest that an answer took.
    pub slowest_microseconds: u64,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Broken {
    /// Who answered it last; empty if nobody did.
    pub pod: String,
    pub milliseconds: u64,
    pub error: String,
}

struct Connection {
    reader: BufReader<TcpStream>,
    pod: String,
}

impl Hold {
    /// Opens all, says so, and holds them to the end.
    pub fn run(&self) -> Result<Held> {
        let host = self.url.strip_prefix("tcp://").unwrap_or(&self.url);
        let found = address(host.trim_end_matches('/'), "tcp");
        let to = found.map_err(Error::file("find", &self.url))?;
        let mut held = Held::default();
        let mut open = Vec::new();
        for _ in 0..self.connections {
            let opened = self.open(to);
            let connection = opened.map_err(Error::file("connect to", &self.url))?;
            *held.by.entry(connection.pod.clone()).or_default() += 1;
            open.push(connection);
        }
        held.connections = open.len();
        eprintln!("{} connections to {} are open", open.len(), self.url);
        let start = Instant::now();
        let end = start + Duration::from_secs(self.seconds);
        let input = self.stdin.then(Input::watch);
        let is_over = || Instant::now() >= end || input.as_ref().is_some_and(Input::has_ended);
        while !is_over() && !open.is_empty() {
            let round = Instant::now();
            open.retain_mut(|connection| match connection.say(&mut held) {
                Ok(()) => true,
                Err(error) => {
                    held.broken.push(Broken {
                        pod: std::mem::take(&mut connection.pod),
                        milliseconds: start.elapsed().as_millis() as u64,
                        error: error.to_string(),
                    });
                    false
                }
            });
            let rest = Duration::from_millis(self.every).saturating_sub(round.elapsed());
            thread::sleep(rest.min(end.saturating_duration_since(Instant::now())));
        }
        Ok(held)
    }

    fn open(&self, to: SocketAddr) -> io::Result<Connection> {
        let stream = connect(to, Duration::from_secs(self.timeout.max(1)))?;
        stream.set_nodelay(true)?;
        let mut connection = Connection {
            reader: BufReader::with_capacity(1024, stream),
            pod: String::new(),
        };
        connection.pod = connection.exchange()?;
        Ok(connection)
    }
}

/// The standard input, of which only the end counts.
struct Input(Arc<AtomicBool>);

impl Input {
    fn watch() -> Input {
        let input = Input(Arc::default());
        let ended = input.0.clone();
        thread::spawn(move || {
            // That it can't be read is an end too.
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            ended.store(true, Ordering::Relaxed);
        });
        input
    }

    fn has_ended(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Connection {
    fn say(&mut self, held: &mut Held) -> io::Result<()> {
        let start = Instant::now();
        let pod = self.exchange()?;
        if pod != self.pod {
            return Err(io::Error::other(format!("{pod} answers in its place")));
        }
        held.lines += 1;
        let took = start.elapsed().as_micros() as u64;
        held.slowest_microseconds = held.slowest_microseconds.max(took);
        Ok(())
    }

    /// A line, and who answers it.
    fn exchange(&mut self) -> io::Result<String> {
        self.reader.get_mut().write_all(b"held\n")?;
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let answer: Value = serde_json::from_str(&line).map_err(io::Error::other)?;
        let pod = answer["pod"].as_str();
        Ok(pod.ok_or(ErrorKind::InvalidData)?.to_owned())
    }
}

impl Held {
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} connections, {} lines, {} broken, slowest answer {:.1} ms\n",
            self.connections,
            self.lines,
            self.broken.len(),
            self.slowest_microseconds as f64 / 1000.0
        );
        for (pod, count) in &self.by {
            text += &format!("  {count} to {pod}\n");
        }
        for Broken {
            pod,
            milliseconds,
            error,
        } in &self.broken
        {
            text += &format!("  broken after {milliseconds} ms, to {pod}: {error}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers so many lines of each connection.
    fn server(lines: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let reader = BufReader::new(stream.try_clone().unwrap());
                    for _ in reader.lines().take(lines) {
                        stream.write_all(b"{\"pod\": \"a\"}\n").unwrap();
                    }
                });
            }
        });
        address
    }

    fn hold(to: SocketAddr) -> Hold {
        Hold {
            url: format!("tcp://{to}"),
            connections: 5,
            seconds: 1,
            stdin: false,
            every: 100,
            timeout: 3,
        }
    }

    #[test]
    fn connections_that_end_are_told_of() {
        let held = hold(server(usize::MAX)).run().unwrap();
        assert_eq!((held.connections, held.broken.len()), (5, 0), "{held:?}");
        assert!(held.lines >= 5 * 2, "{held:?}");
        assert_eq!(held.by, [("a".to_owned(), 5)].into());
        let held = hold(server(3)).run().unwrap();
        assert_eq!((held.lines, held.broken.len()), (10, 5), "{held:?}");
        assert!(held.broken.iter().all(|one| one.pod == "a"), "{held:?}");
    }

    #[test]
    fn nobody_there_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(hold(address).run().is_err());
    }
}
