//! A client for pods: questions over HTTP, TCP or UDP, and what came back.

use crate::{
    Error,
    error::Result,
    http::{self, Page},
};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket},
    time::{Duration, Instant},
};

const DATAGRAM_BYTES_MAX: usize = 65_536;

#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Ask {
    /// Whom, one after the other: http://10.1.0.7:8080/path, tcp://10.1.0.7:7007 or udp://[fd00:10:1::7]:7007
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// How often each is asked, each time by a new connection or socket; what comes back is a line each
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// What is said, over TCP and UDP
    #[arg(long, default_value = "hello")]
    say: String,
    /// Seconds for which an answer is waited for
    #[arg(long, default_value_t = 3)]
    timeout: u64,
}

/// One question, as programs read it.
#[derive(Debug, Deserialize, Serialize)]
pub struct Asked {
    pub url: String,
    /// From the first packet to the last byte of the answer.
    pub microseconds: u64,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub answer: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Ask {
    /// The answers up to the first question that has none.
    pub fn answers(&self) -> impl Iterator<Item = Result<String>> {
        let is_alone = self.questions().nth(1).is_none();
        self.questions().map(move |url| {
            let mut said = self.ask(url).map_err(Error::file("ask", url))?;
            if !is_alone && !said.ends_with('\n') {
                said.push('\n');
            }
            Ok(said)
        })
    }

    /// What became of every question.
    pub fn report(&self) -> Vec<Asked> {
        let asked = self.questions().map(|url| {
            let start = Instant::now();
            let said = self.ask(url);
            let microseconds = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            let (answer, error) = match said {
                // Whoever is no server of the lab answers in words of its own.
                Ok(said) => (serde_json::from_str(&said).unwrap_or(said.into()), None),
                Err(error) => (Value::Null, Some(error.to_string())),
            };
            Asked {
                url: url.to_owned(),
                microseconds,
                answer,
                error,
            }
        });
        asked.collect()
    }

    fn questions(&self) -> impl Iterator<Item = &str> {
        let times = 0..self.times;
        let urls = self.urls.iter();
        urls.flat_map(move |url| times.clone().map(move |_| url.as_str()))
    }

    fn ask(&self, url: &str) -> io::Result<String> {
        let (kind, rest) = url.split_once("://").unwrap_or(("http", url));
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = address(host, kind)?;
        match kind {
            "http" => self.http(address, host, path),
            "tcp" => self.line(address),
            "udp" => self.datagram(address),
            _ => Err(io::Error::new(ErrorKind::InvalidInput, "no way of asking")),
        }
    }

    fn http(&self, address: SocketAddr, host: &str, path: &str) -> io::Result<String> {
        let Page { well, body } = http::exchange(
            connect(address, self.patience())?,
            host,
            &format!("/{path}"),
        )?;
        match well {
            true => Ok(body),
            false => Err(io::Error::other(format!("it answers: {}", body.trim()))),
        }
    }

    fn line(&self, address: SocketAddr) -> io::Result<String> {
        let mut stream = connect(address, self.patience())?;
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

/// Each wait is as long as this at most, for the connection and for what comes by it.
pub fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

/// Of a host with or without a port.
pub fn address(host: &str, kind: &str) -> io::Result<SocketAddr> {
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
    fn every_question_has_its_answer_or_its_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for said in ["{\"pod\": \"a\"}", "just words"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                reader.read_line(&mut line).unwrap();
                assert_eq!(line, "hello\n");
                writeln!(stream, "{said}").unwrap();
            }
        });
        let urls = [format!("tcp://{there}"), "ftp://127.0.0.1".to_owned()];
        let ask = |urls: &[String], times| Ask {
            urls: urls.to_vec(),
            times,
            say: "hello".into(),
            timeout: 3,
        };
        let all = ask(&urls[..1], 2).report();
        server.join().unwrap();
        assert_eq!(all[0].answer["pod"], "a");
        assert_eq!(all[1].answer, "just words\n");
        assert!(all.iter().all(|asked| asked.error.is_none()), "{all:?}");
        for asked in ask(&urls, 1).report() {
            assert!(asked.answer.is_null(), "{asked:?}");
            assert!(asked.error.is_some(), "nobody listens there");
        }
    }

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
