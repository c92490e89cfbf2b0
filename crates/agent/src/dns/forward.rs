//! Asks the cluster's name servers, one after the other, and gives their answer as it is.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout_at},
};
use tombolo_control::random;
use tombolo_model::service::Protocol;

/// Whoever asks waits for five seconds, as resolvers have it by themselves.
const PATIENCE: Duration = Duration::from_millis(4500);
/// For one server, while there is time for another try.
const TRY: Duration = Duration::from_millis(1500);
const ANSWER_BYTES_MAX: usize = 65_535;

/// Nothing if none of them answers.
pub async fn forward(
    question: &[u8],
    servers: &[SocketAddr],
    protocol: Protocol,
) -> Option<Vec<u8>> {
    let mut random = random();
    let mut servers = servers.to_vec();
    let deadline = Instant::now() + PATIENCE;
    // Each is asked again once the others have had their turn.
    let mut left = servers.clone();
    while Instant::now() < deadline && !servers.is_empty() {
        if left.is_empty() {
            left.clone_from(&servers);
        }
        let server = left.swap_remove(random.below(left.len() as u64) as usize);
        let asked = async {
            match protocol {
                Protocol::Udp => by_udp(question, server, random.below(1 << 16) as u16).await,
                Protocol::Tcp => by_tcp(question, server).await,
            }
        };
        let until = deadline.min(Instant::now() + TRY);
        match timeout_at(until, asked).await {
            Ok(Ok(answer)) => return Some(answer),
            // Nobody is there: others, if there are any.
            Ok(Err(error)) => {
                tracing::debug!(%server, %error, "a name server");
                servers.retain(|other| *other != server);
            }
            // It is silent.
            Err(_) => {}
        }
    }
    None
}

/// By a socket and a number of its own, which nobody else knows.
async fn by_udp(question: &[u8], server: SocketAddr, number: u16) -> io::Result<Vec<u8>> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let mut asked = question.to_vec();
    let own = [asked[0], asked[1]];
    asked[..2].copy_from_slice(&number.to_be_bytes());
    socket.send(&asked).await?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let length = socket.recv(&mut answer).await?;
        if is_answer(&asked, &answer[..length]) {
            answer.truncate(length);
            answer[..2].copy_from_slice(&own);
            return Ok(answer);
        }
    }
}

async fn by_tcp(question: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    super::send(&mut stream, question).await?;
    match super::receive(&mut stream).await? {
        Some(answer) if is_answer(question, &answer) => Ok(answer),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Of the same number, and a response.
fn is_answer(question: &[u8], answer: &[u8]) -> bool {
    answer.len() >= 12 && answer[..2] == question[..2] && answer[2] & 0x80 != 0
}
