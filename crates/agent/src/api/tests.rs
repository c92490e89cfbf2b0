use super::*;
use std::io::{Read as _, Write as _};
use tombolo_model::{
    id::Identity,
    reason::{Flow, FlowVerdict, Peer},
};

/// A served socket, with a loop behind it that answers by rote.
struct Bench {
    path: PathBuf,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

fn flow() -> Flow {
    let peer = Peer {
        address: None,
        port: 0,
        identity: Identity::WORLD,
        endpoint: None,
    };
    Flow {
        time_ns: 1,
        verdict: FlowVerdict::Dropped,
        seen_at: "pod".into(),
        reason: None,
        hint: None,
        source: peer.clone(),
        destination: peer,
        protocol: "TCP".into(),
        bytes: 60,
        ifindex: 2,
    }
}

async fn by_rote(mut commands: mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Ask(Request::NodeList, answer) => {
                drop(answer.send(Reply::Nodes { nodes: vec![] }))
            }
            Command::Ask(_, answer) => drop(answer.send(Reply::Done)),
            Command::Monitor { answer, .. } => {
                let (sender, receiver) = mpsc::channel(4);
                sender.try_send(Reply::Flow(flow())).unwrap();
                sender.try_send(Reply::Lost { flows: 3 }).unwrap();
                drop(answer.send(Ok(receiver)));
            }
            Command::Metrics(_) | Command::Name(..) | Command::Alive(_) | Command::Ready(_) => {}
        }
    }
}

fn serve(name: &str) -> Bench {
    let path = std::env::temp_dir().join(format!("tombolo-api-{name}-{}.sock", std::process::id()));
    let socket = Socket::bind(&path).unwrap();
    let (commands, receiver) = mpsc::channel(4);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(by_rote(receiver));
    let until = stop.clone();
    tasks.spawn(async move { socket.serve(commands, None, until).await.unwrap() });
    Bench { path, stop, tasks }
}

impl Bench {
    /// What comes back for these bytes, until the agent hangs up or as many lines have come.
    async fn exchange(&self, bytes: &[u8], lines: usize) -> String {
        let path = self.path.clone();
        let bytes = bytes.to_vec();
        let exchange = tokio::task::spawn_blocking(move || {
            let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            stream.write_all(&bytes).unwrap();
            let mut text = Vec::new();
            let mut buffer = [0; 4096];
            while text.iter().filter(|byte| **byte == b'\n').count() < lines {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    read => text.extend(&buffer[..read]),
                }
            }
            String::from_utf8(text).unwrap()
        });
        exchange.await.unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
        assert!(!self.path.exists(), "the socket goes with its agent");
    }
}

#[tokio::test]
async fn lines_are_answered_in_turn_and_bad_ones_refused() {
    let bench = serve("lines");
    let mode = fs::metadata(&bench.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = bench
        .exchange(
            b"{\"op\":\"node_list\"}\nnonsense\n{\"op\":\"status\"}\n",
            3,
        )
        .await;
    let replies: Vec<Reply> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(matches!(&replies[0], Reply::Nodes { .. }), "{text}");
    assert!(
        matches!(&replies[1], Reply::Error(failure) if failure.code == FailureCode::BadRequest),
        "{text}"
    );
    assert!(matches!(&replies[2], Reply::Done), "{text}");
    bench.end().await;
}

#[tokio::test]
async fn an_endless_line_is_refused() {
    let bench = serve("endless");
    let text = bench
        .exchange(&vec![b'x'; LINE_BYTES_MAX as usize], 1)
        .await;
    assert!(text.contains("longer than"), "{text}");
    bench.end().await;
}

#[tokio::test]
async fn a_monitor_gets_flows_and_losses() {
    let bench = serve("monitor");
    let text = bench.exchange(b"{\"op\":\"monitor\"}\n", 2).await;
    let replies: Vec<Reply> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(replies, [Reply::Flow(flow()), Reply::Lost { flows: 3 }]);
    bench.end().await;
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_another_file_is_not() {
    let path = std::env::temp_dir().join(format!("tombolo-api-dead-{}", std::process::id()));
    drop(StdListener::bind(&path).unwrap());
    drop(Socket::bind(&path).unwrap());
    fs::write(&path, "precious").unwrap();
    let error = Socket::bind(&path).map(drop).unwrap_err().to_string();
    assert!(error.contains("no socket"), "{error}");
    fs::remove_file(&path).unwrap();
}
