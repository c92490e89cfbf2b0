//! A server that answers who it is and whom it was asked by, over HTTP, TCP and UDP: the pod that lab users ask.
//!
//! ```text
//!   GET /any HTTP/1.1   ──►  {"pod":"echo-1","namespace":"default","node":"c1-n1","cluster":"cluster1","from":"10.2.0.7"}
//!   a line or datagram  ──►  the same, with what was said
//! ```

use crate::{Error, error::Result};
use clap::Args;
use serde::Serialize;
use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

const CONNECTIONS_MAX: usize = 512;
const IDLE_MAX: Duration = Duration::from_secs(300);
const LINE_BYTES_MAX: u64 = 16 * 1024;
const DATAGRAM_BYTES_MAX: usize = 65_536;

#[derive(Clone, Debug, Args)]
pub struct Echo {
    /// Port for HTTP
    #[arg(long, default_value_t = 8080)]
    http: u16,
    /// Port for lines over TCP
    #[arg(long, default_value_t = 7007)]
    tcp: u16,
    /// Port for datagrams
    #[arg(long, default_value_t = 7007)]
    udp: u16,
    /// Who this is; the host's name if it is not said
    #[arg(long, env = "POD_NAME")]
    pod: Option<String>,
    #[arg(long, env = "POD_NAMESPACE")]
    namespace: Option<String>,
    #[arg(long, env = "NODE_NAME")]
    node: Option<String>,
    #[arg(long, env = "CLUSTER_NAME")]
    cluster: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    pod: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a str>,
    from: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<&'a str>,
}

impl Echo {
    /// Serves until killed.
    pub fn run(mut self) -> Result<()> {
        let file = "/proc/sys/kernel/hostname";
        let host = std::fs::read_to_string(file).map_err(Error::file("read", file))?;
        self.pod.get_or_insert(host.trim().to_owned());
        let any = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let fail = |port: u16| Error::file("listen at port", port.to_string());
        let http = TcpListener::bind(any(self.http)).map_err(fail(self.http))?;
        let tcp = TcpListener::bind(any(self.tcp)).map_err(fail(self.tcp))?;
        let udp = UdpSocket::bind(any(self.udp)).map_err(fail(self.udp))?;
        thread::scope(|scope| {
            scope.spawn(|| self.serve(&http, Echo::answer_http));
            scope.spawn(|| self.serve(&tcp, Echo::answer_lines));
            self.serve_datagrams(&udp);
        });
        Ok(())
    }

    fn serve(&self, listener: &TcpListener, answer: fn(&Echo, TcpStream) -> io::Result<()>) {
        let open = Arc::new(AtomicUsize::new(0));
        for stream in listener.incoming().flatten() {
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (echo, open) = (self.clone(), Arc::clone(&open));
            thread::spawn(move || {
                // Whoever went away is no trouble of ours.
                let _ = answer(&echo, stream);
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    /// One answer for each request of the connection, until the client has had enough.
    fn answer_http(&self, stream: TcpStream) -> io::Result<()> {
        let from = stream.peer_addr()?.ip();
        stream.set_read_timeout(Some(IDLE_MAX))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut out = stream;
        while let Some(close) = read_request(&mut reader)? {
            let body = self.answer(from, None);
            let connection = if close { "close" } else { "keep-alive" };
            write!(
                out,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n{body}",
                body.len()
            )?;
            if close {
                break;
            }
        }
        Ok(())
    }

    fn answer_lines(&self, stream: TcpStream) -> io::Result<()> {
        let from = stream.peer_addr()?.ip();
        stream.set_read_timeout(Some(IDLE_MAX))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut out = stream;
        while let Some(line) = read_line(&mut reader)? {
            out.write_all(self.answer(from, Some(line.trim_end())).as_bytes())?;
        }
        Ok(())
    }

    fn serve_datagrams(&self, socket: &UdpSocket) {
        let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            if let Ok((length, peer)) = socket.recv_from(&mut datagram) {
                let said = String::from_utf8_lossy(&datagram[..length]);
                let answer = self.answer(peer.ip(), Some(said.trim_end()));
                let _ = socket.send_to(answer.as_bytes(), peer);
            }
        }
    }

    fn answer(&self, from: IpAddr, said: Option<&str>) -> String {
        let answer = Answer {
            pod: self.pod.as_deref().unwrap_or_default(),
            namespace: self.namespace.as_deref(),
            node: self.node.as_deref(),
            cluster: self.cluster.as_deref(),
            // A socket for both families shows the older one in the newer.
            from: from.to_canonical(),
            said,
        };
        let text = serde_json::to_string(&answer).expect("answers are plain data");
        format!("{text}\n")
    }
}

/// Reads a request's head, and says whether the connection is to end after the answer. Bodies are not read: who sends one
/// gets its answer, and the connection ends.
fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<bool>> {
    let Some(first) = read_line(reader)? else {
        return Ok(None);
    };
    let mut close = !first.trim_end().ends_with("HTTP/1.1");
    while let Some(line) = read_line(reader)? {
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Ok(Some(close));
        }
        close |= line == "connection: close";
        close |= line.starts_with("content-length:") || line.starts_with("transfer-encoding:");
    }
    Ok(None)
}

/// No more of a line than there is room for.
fn read_line(reader: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok((read > 0).then(|| String::from_utf8_lossy(&line).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> Echo {
        Echo {
            http: 0,
            tcp: 0,
            udp: 0,
            pod: Some("a".into()),
            namespace: None,
            node: Some("c1-n1".into()),
            cluster: None,
        }
    }

    /// One end of a connection whose other end is answered.
    fn asked(answer: fn(&Echo, TcpStream) -> io::Result<()>) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        thread::spawn(move || answer(&echo(), server));
        client
    }

    #[test]
    fn lines_are_answered_one_by_one() {
        let mut client = asked(Echo::answer_lines);
        let mut reader = BufReader::new(client.try_clone().unwrap());
        for said in ["one", "two"] {
            writeln!(client, "{said}").unwrap();
            let line = read_line(&mut reader).unwrap().unwrap();
            let expected =
                format!(r#"{{"pod":"a","node":"c1-n1","from":"127.0.0.1","said":"{said}"}}"#);
            assert_eq!(line.trim_end(), expected);
        }
    }

    #[test]
    fn connections_end_when_the_client_wants_it() {
        for (request, answers) in [
            ("GET / HTTP/1.0\r\n\r\n", 1),
            ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 1),
            ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", 1),
            (
                "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\nConnection: close\r\n\r\n",
                2,
            ),
        ] {
            let mut client = asked(Echo::answer_http);
            client.write_all(request.as_bytes()).unwrap();
            let mut text = Vec::new();
            // A body that was not read resets the connection after the answer.
            let _ = client.read_to_end(&mut text);
            let text = String::from_utf8(text).unwrap();
            assert_eq!(
                text.matches("200 OK").count(),
                answers,
                "{request:?}: {text}"
            );
            assert_eq!(
                text.matches(r#""from":"127.0.0.1""#).count(),
                answers,
                "{text}"
            );
        }
    }
}
