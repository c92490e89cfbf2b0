//! One page of a program's probes, asked for in the calling thread's network namespace.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(5);
const PAGE_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// The status is 200.
    pub well: bool,
    pub body: String,
}

pub fn get(address: SocketAddr, path: &str) -> io::Result<Page> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    exchange(stream, &address.to_string(), path)
}

pub fn exchange(mut stream: impl Read + Write, host: &str, path: &str) -> io::Result<Page> {
    // Of this version, a page ends with the connection and never comes in chunks.
    // In one piece: some answer and hang up as soon as they have seen the beginning.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.take(PAGE_BYTES_MAX).read_to_string(&mut text)?;
    parse(&text).ok_or_else(|| ErrorKind::InvalidData.into())
}

fn parse(text: &str) -> Option<Page> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(Page {
        well: status == "200",
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_its_status_and_its_body() {
        let page = |well, body: &str| {
            let body = body.to_owned();
            Some(Page { well, body })
        };
        let cases = [
            ("HTTP/1.0 200 OK\r\na: b\r\n\r\nok\n", page(true, "ok\n")),
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\nnot yet",
                page(false, "not yet"),
            ),
            ("HTTP/1.0 200 OK\r\n", None),
            ("SSH-2.0\r\n\r\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
