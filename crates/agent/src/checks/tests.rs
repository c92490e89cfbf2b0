use super::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tombolo_model::record::Namespaced;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const DEADLINE: Duration = Duration::from_secs(10);

struct Bench {
    checks: Checks,
    facts: mpsc::Receiver<Vec<Fact>>,
    stop: CancellationToken,
    server: JoinSet<Result<()>>,
}

impl Bench {
    fn new() -> Bench {
        let (server, checks) = CheckServer::new();
        let (sender, facts) = mpsc::channel(4);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(server.follow(sender, stop.clone()));
        Bench {
            server: tasks,
            checks,
            facts,
            stop,
        }
    }

    fn set(&self, wanted: &[(u16, &str, usize)]) {
        let check = |(port, name, endpoints): &(u16, &str, usize)| {
            let service = Namespaced {
                namespace: "shop".into(),
                name: (*name).into(),
            };
            let endpoints = *endpoints;
            (*port, Check { service, endpoints })
        };
        self.checks.set(wanted.iter().map(check).collect());
    }

    async fn end(mut self) {
        self.stop.cancel();
        let ended = self.server.join_next().await.expect("it ran");
        ended.expect("no panic").expect("no error");
    }
}

/// A port that nobody has, in either family.
fn free_port() -> u16 {
    let open = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("any port");
    open.local_addr().expect("an address").port()
}

async fn ask(ip: IpAddr, port: u16, question: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((ip, port)).await?;
    stream.write_all(question.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

async fn get(ip: IpAddr, port: u16) -> std::io::Result<String> {
    ask(ip, port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await
}

async fn until(ip: IpAddr, port: u16, is: impl Fn(&std::io::Result<String>) -> bool) {
    let wait = async {
        while !is(&get(ip, port).await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, wait).await.expect("in time");
}

fn says(code: &'static str) -> impl Fn(&std::io::Result<String>) -> bool {
    move |said| said.as_ref().is_ok_and(|text| text.contains(code))
}

#[tokio::test]
async fn both_families_are_told_how_many_there_are() {
    let bench = Bench::new();
    let port = free_port();
    bench.set(&[(port, "web", 2)]);
    for ip in [V4, V6] {
        until(ip, port, says("HTTP/1.1 200")).await;
        let text = get(ip, port).await.expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        let head = head.to_ascii_lowercase();
        assert!(
            head.contains("x-load-balancing-endpoint-weight: 2"),
            "{head}"
        );
        assert!(head.contains("content-type: application/json"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let form = serde_json::json!({
            "service": {"namespace": "shop", "name": "web"},
            "localEndpoints": 2,
            "serviceProxyHealthy": true,
        });
        assert_eq!(body, form);
    }
    bench.set(&[(port, "web", 0)]);
    let text = get(V4, port).await.expect("an answer");
    assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    assert!(text.contains("\"localEndpoints\": 0"), "{text}");
    bench.end().await;
}

#[tokio::test]
async fn a_port_that_goes_leaves_others_open() {
    let bench = Bench::new();
    let (stays, goes) = (free_port(), free_port());
    bench.set(&[(stays, "web", 1), (goes, "api", 1)]);
    until(V4, goes, says("\"api\"")).await;
    until(V4, stays, says("\"web\"")).await;
    // A question that is under way at a port that stays is answered.
    let mut slow = TcpStream::connect((V4, stays)).await.expect("it is open");
    slow.write_all(b"GET / HTT").await.expect("half a question");
    bench.set(&[(stays, "web", 1)]);
    until(V4, goes, |said| said.is_err()).await;
    slow.write_all(b"P/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("the rest");
    let mut text = String::new();
    slow.read_to_string(&mut text).await.expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    // It may come back, for another service.
    bench.set(&[(stays, "web", 1), (goes, "new", 1)]);
    until(V4, goes, says("\"new\"")).await;
    bench.end().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_of_and_tried_again() {
    let mut bench = Bench::new();
    let other = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("any port");
    let port = other.local_addr().expect("an address").port();
    let free = free_port();
    bench.set(&[(port, "web", 1), (free, "api", 1)]);
    let told = timeout(DEADLINE, bench.facts.recv())
        .await
        .expect("in time");
    match told.expect("a fact").as_slice() {
        [Fact::ChecksRefused(refused)] => {
            assert!(refused[&port].contains("in use"), "{refused:?}");
            assert_eq!(refused.len(), 1);
        }
        other => panic!("{other:?}"),
    }
    until(V4, free, says("\"api\"")).await;
    drop(other);
    until(V4, port, says("\"web\"")).await;
    let told = timeout(DEADLINE, bench.facts.recv())
        .await
        .expect("in time");
    assert_eq!(told, Some(vec![Fact::ChecksRefused(BTreeMap::new())]));
    bench.end().await;
}

#[tokio::test]
async fn whoever_says_nothing_takes_nobodys_place_for_long() {
    let bench = Bench::new();
    let port = free_port();
    bench.set(&[(port, "web", 1)]);
    until(V4, port, says("200")).await;
    // All places of one address, and more.
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_EACH_MAX + 8 {
        silent.push(TcpStream::connect((V4, port)).await.expect("it is open"));
    }
    // Who is beyond them is turned away, and another address is served.
    let turned = timeout(DEADLINE, async {
        let mut rest = String::new();
        let last = silent.last_mut().expect("one of many");
        // A reset is as good as an end.
        let _ = last.read_to_string(&mut rest).await;
        rest
    });
    assert_eq!(turned.await.expect("in time"), "");
    until(V6, port, says("200")).await;
    until(V4, port, says("200")).await;
    // What is no question gets no place either.
    let nonsense = ask(V4, port, "\u{1}\u{2}\r\n\r\n").await;
    assert!(nonsense.is_err() || nonsense.is_ok_and(|text| !text.contains("200")));
    bench.end().await;
}
