use super::*;
use crate::node::Command;
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use std::{collections::BTreeSet, time::Instant};
use tokio::sync::mpsc;
use tombolo_model::name::{Answer, Kind, Question, Record};

/// Answers as if a loop knew a few names; the rest is for `servers`.
struct Bench {
    udp: SocketAddr,
    tcp: SocketAddr,
    resolver: Arc<Resolver>,
    _tasks: JoinSet<Result<()>>,
}

impl Bench {
    async fn new(sources: &str, servers: Vec<SocketAddr>) -> Bench {
        let (commands, mut asked) = mpsc::channel(64);
        let sources = vec![sources.parse().expect("a range")];
        let resolver = Arc::new(Resolver::new(commands, sources));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Some(command) = asked.recv().await {
                if let Command::Name(question, _, answer) = command {
                    let said = (known(&question), servers.clone());
                    drop(answer.send(said));
                }
            }
            Ok(())
        });
        let door = Door::open("127.0.0.1".parse().expect("an address")).await;
        let Door { udp, tcp, .. } = door.expect("sockets");
        let bench = Bench {
            udp: udp.local_addr().expect("an address"),
            tcp: tcp.local_addr().expect("an address"),
            resolver: resolver.clone(),
            _tasks: JoinSet::new(),
        };
        tasks.spawn(serve_udp(udp, resolver.clone()));
        tasks.spawn(serve_tcp(tcp, resolver));
        Bench {
            _tasks: tasks,
            ..bench
        }
    }

    async fn raw(&self, question: &[u8]) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        socket.send_to(question, self.udp).await.expect("sent");
        let mut buffer = vec![0; 65_535];
        let received = timeout(Duration::from_millis(700), socket.recv(&mut buffer)).await;
        let length = received.ok()?.expect("received");
        buffer.truncate(length);
        Some(buffer)
    }

    async fn ask(&self, question: &Message) -> Message {
        let answer = self.raw(&question.to_vec().expect("bytes")).await;
        Message::from_vec(&answer.expect("an answer")).expect("a message")
    }

    /// Several questions on one connection.
    async fn ask_by_tcp(&self, questions: &[Message]) -> Vec<Message> {
        let mut stream = TcpStream::connect(self.tcp).await.expect("a connection");
        for question in questions {
            let bytes = question.to_vec().expect("bytes");
            send(&mut stream, &bytes).await.expect("sent");
        }
        let mut answers = Vec::new();
        for _ in questions {
            let answer = receive(&mut stream).await.expect("received");
            let answer = answer.expect("an answer");
            answers.push(Message::from_vec(&answer).expect("a message"));
        }
        answers
    }

    fn counts(&self) -> [u64; 4] {
        let status = self.resolver.counts.status(0);
        [
            status.answered,
            status.forwarded,
            status.failed,
            status.refused,
        ]
    }
}

fn known(question: &Question) -> Answer {
    let domain = "cluster.local".to_owned();
    let first = question.labels.first().map(String::as_str);
    match (first, question.kind) {
        (Some("web"), Kind::A) => addresses(1),
        (Some("many"), Kind::A) => addresses(200),
        (Some("web"), Kind::Srv) => Answer::Records {
            answers: [Record::Server {
                port: 80,
                target: "web.shop.svc.cluster.local".into(),
            }]
            .into(),
            additional: [(
                "web.shop.svc.cluster.local".to_owned(),
                [10, 96, 0, 1].into(),
            )]
            .into(),
        },
        (Some("1"), Kind::Ptr) => Answer::Records {
            answers: [Record::Name("web.shop.svc.cluster.local".into())].into(),
            additional: BTreeSet::new(),
        },
        (Some("web"), _) => Answer::NoData { domain },
        (Some("none"), _) => Answer::NoName { domain },
        _ => Answer::Forward,
    }
}

fn addresses(count: u16) -> Answer {
    let address = |number: u16| {
        let [high, low] = number.to_be_bytes();
        Record::Address([10, 96, high, low].into())
    };
    Answer::Records {
        answers: (1..=count).map(address).collect(),
        additional: BTreeSet::new(),
    }
}

fn question(kind: RecordType, name: &str) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let name = Name::from_ascii(name).expect("a name");
    message.add_query(Query::query(name, kind));
    message
}

fn with_room(mut message: Message, room: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(room);
    message.set_edns(edns);
    message
}

const ALL: &str = "0.0.0.0/0";

#[tokio::test]
async fn what_is_known_is_said() {
    let bench = Bench::new(ALL, Vec::new()).await;
    let asked = question(RecordType::A, "WEB.shop.svc.cluster.local.");
    let answer = bench.ask(&asked).await;
    assert_eq!(answer.metadata.id, 7);
    assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
    assert_eq!(answer.queries, asked.queries);
    assert_eq!(answer.answers.len(), 1);
    // As it was asked, in upper case too, by which askers tell forgeries.
    assert_eq!(
        answer.answers[0].name.to_ascii(),
        "WEB.shop.svc.cluster.local."
    );
    assert!(answer.edns.is_none());
    let answer = bench.ask(&question(RecordType::SRV, "web.")).await;
    assert!(matches!(&answer.answers[0].data, RData::SRV(srv) if srv.port == 80));
    assert_eq!(answer.additionals.len(), 1);
    let answer = bench
        .ask(&question(RecordType::PTR, "1.in-addr.arpa."))
        .await;
    assert!(matches!(&answer.answers[0].data, RData::PTR(_)));
    for (name, code) in [
        ("web.", ResponseCode::NoError),
        ("none.", ResponseCode::NXDomain),
    ] {
        let answer = bench.ask(&question(RecordType::AAAA, name)).await;
        assert_eq!(answer.metadata.response_code, code);
        assert!(answer.answers.is_empty());
        assert!(matches!(&answer.authorities[0].data, RData::SOA(soa) if soa.minimum == 5));
    }
    assert_eq!(bench.counts(), [5, 0, 0, 0]);
}

#[tokio::test]
async fn answers_are_cut_to_the_room_that_askers_have() {
    let bench = Bench::new(ALL, Vec::new()).await;
    let asked = question(RecordType::A, "many.");
    for (asked, room) in [
        (asked.clone(), 512),
        (with_room(asked.clone(), 100), 512),
        (with_room(asked.clone(), 800), 800),
        (with_room(asked.clone(), 4096), 1232),
    ] {
        let answer = bench.raw(&asked.to_vec().expect("bytes")).await;
        let answer = answer.expect("an answer");
        assert!(
            answer.len() <= room && answer.len() + 64 > room,
            "{}",
            answer.len()
        );
        let answer = Message::from_vec(&answer).expect("a message");
        assert!(answer.metadata.truncation);
        assert_eq!(answer.edns.is_some(), asked.edns.is_some());
    }
    let few = question(RecordType::A, "web.");
    let answers = bench.ask_by_tcp(&[asked.clone(), few, asked]).await;
    let lengths: Vec<usize> = answers.iter().map(|it| it.answers.len()).collect();
    assert_eq!(lengths, [200, 1, 200]);
    assert!(answers.iter().all(|answer| !answer.metadata.truncation));
    let order = |answer: &Message| {
        answer
            .answers
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_ne!(
        order(&answers[0]),
        order(&answers[2]),
        "each time another is the first"
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_told_so() {
    let bench = Bench::new(ALL, Vec::new()).await;
    let mut notify = question(RecordType::A, "web.");
    notify.metadata.op_code = OpCode::Notify;
    let mut two = question(RecordType::A, "web.");
    two.add_query(Query::query(Name::root(), RecordType::A));
    let mut newer = with_room(question(RecordType::A, "web."), 1232);
    newer.edns.as_mut().expect("it has one").set_version(1);
    for (asked, code) in [
        (notify, ResponseCode::NotImp),
        (two, ResponseCode::FormErr),
        (newer, ResponseCode::BADVERS),
    ] {
        let answer = bench.ask(&asked).await;
        // One number has two names.
        let number = u16::from(answer.metadata.response_code);
        assert_eq!(number, u16::from(code));
    }
    let mut cut = question(RecordType::A, "web.").to_vec().expect("bytes");
    cut.truncate(15);
    let answer = bench.raw(&cut).await.expect("an answer");
    let answer = Message::from_vec(&answer).expect("a message");
    assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
    assert_eq!(answer.metadata.id, 7);
    // Whoever answers answers might go on for ever.
    let mut response = question(RecordType::A, "web.");
    response.metadata.message_type = MessageType::Response;
    let response = response.to_vec().expect("bytes");
    for ignored in [&response[..], &cut[..11], b""] {
        assert_eq!(bench.raw(ignored).await, None);
    }
    assert_eq!(bench.counts(), [0, 0, 4, 0]);
}

#[tokio::test]
async fn strangers_are_not_answered() {
    let bench = Bench::new("10.1.1.0/24", Vec::new()).await;
    let asked = question(RecordType::A, "web.").to_vec().expect("bytes");
    assert_eq!(bench.raw(&asked).await, None);
    let mut stream = TcpStream::connect(bench.tcp).await.expect("a connection");
    // It is closed, with or without a word.
    assert!(!matches!(receive(&mut stream).await, Ok(Some(_))));
    assert_eq!(bench.counts(), [0, 0, 0, 2]);
}

/// A name server that answers, first to nobody's question.
async fn name_server() -> (SocketAddr, JoinSet<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = socket.local_addr().expect("an address");
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let asked = Message::from_vec(&buffer[..length]).expect("a question");
            let mut answer = asked.into_response();
            answer.metadata.response_code = ResponseCode::Refused;
            let mut forged = answer.clone();
            forged.metadata.id = forged.metadata.id.wrapping_add(1);
            forged.metadata.response_code = ResponseCode::NoError;
            for message in [forged, answer] {
                let bytes = message.to_vec().expect("bytes");
                socket.send_to(&bytes, from).await.expect("sent");
            }
        }
    });
    (address, task)
}

#[tokio::test]
async fn the_rest_is_for_name_servers_that_are_there() {
    let (server, _task) = name_server().await;
    // Nobody is there: the kernel says so at once.
    let closed = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let nobody = closed.local_addr().expect("an address");
    drop(closed);
    let bench = Bench::new(ALL, vec![nobody, server]).await;
    for _ in 0..8 {
        let answer = bench.ask(&question(RecordType::A, "example.com.")).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
        assert_eq!(answer.metadata.id, 7);
    }
    assert_eq!(bench.counts(), [0, 8, 0, 0]);
}

#[tokio::test]
async fn without_name_servers_the_rest_fails_at_once() {
    let nobody = "127.0.0.1:9".parse().expect("an address");
    for servers in [Vec::new(), vec![nobody]] {
        let bench = Bench::new(ALL, servers).await;
        let start = Instant::now();
        let answer = bench.ask(&question(RecordType::A, "example.com.")).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        assert!(start.elapsed() < Duration::from_millis(500));
        assert_eq!(bench.counts(), [0, 0, 1, 0]);
    }
}
