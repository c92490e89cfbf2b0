//! The asking side: a calm first round one question at a time, so that times mean something,
//! then a second round for those without an answer, all together and with more patience.

use super::{
    Answer, Family, Protocol, Question,
    cast::Actor,
    echo::{self, NONCE_BYTES, Nonce, Server},
    icmp,
};
use crate::error::Result;
use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const CALM_PATIENCE: Duration = Duration::from_millis(250);
const LAST_PATIENCE: Duration = Duration::from_millis(1500);
/// So many without an answer, and the first round is left, since it would take too long.
const CALM_FAILURES_MAX: usize = 8;
/// Askers of one place at once in the second round.
const CROWD: usize = 24;
/// Exchanges of one question, after one that warms caches up.
const EXCHANGES: u16 = 5;

type Outcome = std::result::Result<Answer, String>;
type Servers = BTreeMap<(usize, IpAddr), Server>;

/// Answers in the order of the questions.
pub fn ask(cast: &[Actor], questions: &[Question]) -> Result<Vec<Outcome>> {
    let servers = open_servers(cast, questions)?;
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for server in servers.values() {
            server.serve(scope, &ended);
        }
        let outcomes = ask_served(cast, questions, &servers);
        ended.store(true, Ordering::Relaxed);
        outcomes
    })
}

fn open_servers(cast: &[Actor], questions: &[Question]) -> Result<Servers> {
    let mut servers = Servers::new();
    for question in questions {
        let key = (question.to, question.target);
        if servers.contains_key(&key) {
            continue;
        }
        let actor = &cast[question.to];
        let open = || Server::open(&actor.name, question.target);
        let server = actor
            .netns
            .run(open)?
            .map_err(|source| crate::Error::File {
                operation: "open an echo server in",
                path: actor.name.clone().into(),
                source,
            })?;
        servers.insert(key, server);
    }
    Ok(servers)
}

fn ask_served(cast: &[Actor], questions: &[Question], servers: &Servers) -> Result<Vec<Outcome>> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; questions.len()];
    let mut failures = 0;
    for (from, indices) in by_asker(questions, |_| true) {
        let results = cast[from].netns.run(|| {
            let mut results = Vec::new();
            for index in indices {
                if failures > CALM_FAILURES_MAX {
                    break;
                }
                let outcome = ask_one(cast, &questions[index], servers, CALM_PATIENCE);
                failures += usize::from(outcome.is_err());
                results.push((index, outcome));
            }
            results
        })?;
        for (index, outcome) in results {
            outcomes[index] = Some(outcome);
        }
    }
    let open = by_asker(questions, |index| !matches!(outcomes[index], Some(Ok(_))));
    let last: Result<Vec<_>> = thread::scope(|scope| {
        let askers: Vec<_> = open
            .into_iter()
            .map(|(from, indices)| {
                scope.spawn(move || {
                    let crowd = || ask_crowd(cast, questions, servers, &indices);
                    cast[from].netns.run(crowd)
                })
            })
            .collect();
        let join =
            |asker: thread::ScopedJoinHandle<'_, _>| asker.join().expect("askers do not panic");
        askers.into_iter().map(|asker| Ok(join(asker)?)).collect()
    });
    for (index, outcome) in last?.into_iter().flatten() {
        outcomes[index] = Some(outcome);
    }
    let all = outcomes.into_iter();
    Ok(all
        .map(|outcome| outcome.expect("the second round asks all that is open"))
        .collect())
}

fn by_asker(questions: &[Question], wanted: impl Fn(usize) -> bool) -> BTreeMap<usize, Vec<usize>> {
    let mut askers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, question) in questions.iter().enumerate() {
        if wanted(index) {
            askers.entry(question.from).or_default().push(index);
        }
    }
    askers
}

/// Threads made here stay in the caller's namespace.
fn ask_crowd(
    cast: &[Actor],
    questions: &[Question],
    servers: &Servers,
    indices: &[usize],
) -> Vec<(usize, Outcome)> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut results = Vec::new();
        while let Some(index) = indices.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = ask_one(cast, &questions[*index], servers, LAST_PATIENCE);
            results.push((*index, outcome));
        }
        results
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..CROWD.min(indices.len()))
            .map(|_| scope.spawn(work))
            .collect();
        let results = workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("workers do not panic"));
        results.collect()
    })
}

fn ask_one(cast: &[Actor], question: &Question, servers: &Servers, patience: Duration) -> Outcome {
    let server = &servers[&(question.to, question.target)];
    let name = &cast[question.to].name;
    let result = match question.protocol {
        Protocol::Tcp => tcp((question.target, server.tcp_port).into(), name, patience),
        Protocol::Udp => udp((question.target, server.udp_port).into(), name, patience),
        Protocol::Icmp => ping(question.target, server, patience),
    };
    result.map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer".into(),
        _ => error.to_string(),
    })
}

fn tcp(target: SocketAddr, name: &str, patience: Duration) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&target, patience)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    exchanges(name, |nonce, _| {
        stream.write_all(&nonce)?;
        let mut head = [0; NONCE_BYTES + 1];
        stream.read_exact(&mut head)?;
        let mut text = vec![0; head[NONCE_BYTES].into()];
        stream.read_exact(&mut text)?;
        if head[..NONCE_BYTES] == nonce {
            echo::parse_text(&text)
        } else {
            Err(not_ours())
        }
    })
}

fn udp(target: SocketAddr, name: &str, patience: Duration) -> io::Result<Answer> {
    let socket = UdpSocket::bind(echo::any(Family::of(target.ip())))?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(patience))?;
    exchanges(name, |nonce, _| {
        socket.send(&nonce)?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer)?;
        match answer[..length].split_at_checked(NONCE_BYTES + 1) {
            Some((head, text)) if head[..NONCE_BYTES] == nonce => echo::parse_text(text),
            _ => Err(not_ours()),
        }
    })
}

fn ping(target: IpAddr, server: &Server, patience: Duration) -> io::Result<Answer> {
    let family = Family::of(target);
    let socket = icmp::open(family)?;
    let mut seen = None;
    let mut times = Vec::new();
    for sequence in 0..=EXCHANGES {
        let nonce = nonce();
        let start = Instant::now();
        socket.send_to(&icmp::request(family, nonce, sequence), (target, 0))?;
        await_reply(&socket, (family, nonce, sequence), start + patience)?;
        times.push(start.elapsed());
        seen = witnessed(server, nonce, start + patience);
    }
    let missing = || io::Error::new(ErrorKind::NotFound, "answered, but not by the one asked");
    Ok(Answer {
        rtt: quickest(&times),
        source_seen: seen.ok_or_else(missing)?,
    })
}

fn await_reply(
    socket: &UdpSocket,
    awaited: (Family, Nonce, u16),
    deadline: Instant,
) -> io::Result<()> {
    let (family, nonce, sequence) = awaited;
    let mut packet = [0; 512];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let (length, _) = socket.recv_from(&mut packet)?;
        if icmp::nonce_of_reply(family, &packet[..length]) == Some((nonce, sequence)) {
            return Ok(());
        }
    }
}

/// The kernel may answer before the witness has been given its copy.
fn witnessed(server: &Server, nonce: Nonce, deadline: Instant) -> Option<IpAddr> {
    loop {
        if let Some(seen) = server.icmp_seen(nonce) {
            return Some(seen);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_micros(100));
    }
}

fn exchanges(
    name: &str,
    mut exchange: impl FnMut(Nonce, u16) -> io::Result<(String, IpAddr)>,
) -> io::Result<Answer> {
    let mut times = Vec::new();
    let mut source_seen = None;
    for sequence in 0..=EXCHANGES {
        let start = Instant::now();
        let (who, seen) = exchange(nonce(), sequence)?;
        times.push(start.elapsed());
        if who != name {
            return Err(io::Error::other(format!("answered by {who}")));
        }
        source_seen = Some(seen);
    }
    Ok(Answer {
        rtt: quickest(&times),
        source_seen: source_seen.expect("there is more than one exchange"),
    })
}

/// The quickest but for the first, which found cold caches: what else the machine does only ever adds.
fn quickest(times: &[Duration]) -> Duration {
    let warm = times[1..].iter();
    *warm.min().expect("there is more than one exchange")
}

/// Told apart from all others of this run and, by the pid, from those of another.
fn nonce() -> Nonce {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let count = NEXT.fetch_add(1, Ordering::Relaxed) as u32;
    let mut nonce = [0; NONCE_BYTES];
    nonce[..4].copy_from_slice(&count.to_be_bytes());
    nonce[4..].copy_from_slice(&std::process::id().to_be_bytes());
    nonce
}

fn not_ours() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the answer is not ours")
}
