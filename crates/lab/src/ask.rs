//! A client for pods: a question over HTTP, TCP or UDP, once or often, and what came back.

use crate::{
    Error,
    error::Result,
    http::{self, Page},
};
use clap::Args;
use std::{
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket},
    time::Duration,
};

const DATAGRAM_BYTES_MAX: usize = 65_536;

#[derive(Clone, Debug, Args)]
pub struct Ask {
    /// Whom: http://10.1.0.7:8080/path, tcp://10.1.0.7:7007 or udp://[fd00:10:1::7]:7007
    url: String,
    /// What is said, over TCP and UDP
    #[arg(long, default_value = "hello")]
    say: String,
    /// Seconds for which an answer is waited for
    #[arg(long, default_value_t = 3)]
    timeout: u64,
    /// How often, each time by a new connection or socket; what comes back is a line each
    #[arg(long, default_value_t = 1)]
    times: u32,
}

impl Ask {
    /// The answers; the first that does not come ends it.
    pub fn run(&self) -> Result<String> {
        let mut all = String::new();
        for _ in 0..self.times.max(1) {
            let answer = self.once()?;
            if !all.is_empty() && !all.ends_with('\n') {
                all.push('\n');
            }
            all.push_str(&answer);
        }
        Ok(all)
    }

    fn once(&self) -> Result<String> {
        let (kind, rest) = self.url.split_once("://").unwrap_or(("http", &self.url));
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = address(host, kind).and_then(|address| match kind {
            "http" => self.http(address, host, path),
            "tcp" => self.line(address),
            "udp" => self.datagram(address),
            _ => Err(io::Error::new(ErrorKind::InvalidInput, "no way of asking")),
        });
        address.map_err(Error::file("ask", &self.url))
    }

    fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let patience = self.patience();
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(stream)
    }

    fn http(&self, address: SocketAddr, host: &str, path: &str) -> io::Result<String> {
        let Page { well, body } =
            http::exchange(self.connect(address)?, host, &format!("/{path}"))?;
        match well {
            true => Ok(body),
            false => Err(io::Error::other(format!("it answers: {}", body.trim()))),
        }
    }

    fn line(&self, address: SocketAddr) -> io::Result<String> {
        let mut stream = self.connect(address)?;
        writeln!(stream, "{}", self.say)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        match line.is_empty() {
            true => Err(ErrorKind::UnexpectedEof.into()),
            false => Ok(line),
        }
    }

    fn datagram(&self, address: SocketAddr) -> io::Result<String> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(self.patience()))?;
        socket.connect(address)?;
        socket.send(self.say.as_bytes())?;
        let mut answer = vec![0; DATAGRAM_BYTES_MAX];
        let length = socket.recv(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout.max(1))
    }
}

/// Of a host with or without a port.
fn address(host: &str, kind: &str) -> io::Result<SocketAddr> {
    let has_port = host.rsplit_once(':').is_some_and(|(before, port)| {
        port.parse::<u16>().is_ok() && (!before.contains(':') || before.ends_with(']'))
    });
    let port = match kind {
        "http" => ":80",
        _ => ":7007",
    };
    let host = match has_port {
        true => host.to_owned(),
        false => format!("{host}{port}"),
    };
    let mut found = host.to_socket_addrs()?;
    found.next().ok_or_else(|| ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_ports_or_the_usual_ones() {
        for (host, kind, expected) in [
            ("10.1.0.7:8080", "http", "10.1.0.7:8080"),
            ("10.1.0.7", "http", "10.1.0.7:80"),
            ("[fd00::7]:9", "udp", "[fd00::7]:9"),
            ("[fd00::7]", "udp", "[fd00::7]:7007"),
        ] {
            assert_eq!(address(host, kind).unwrap().to_string(), expected);
        }
        assert!(address("fd00::7:70000", "tcp").is_err());
    }
}
