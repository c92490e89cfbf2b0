use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn probes_see_whether_the_loop_turns() {
    let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = server.address();
    let (commands, mut receiver) = mpsc::channel(4);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.serve(commands, stop.clone()));
    let turning = async {
        while let Some(command) = receiver.recv().await {
            match command {
                Command::Alive(answer) => drop(answer.send(())),
                Command::Metrics(answer) => drop(answer.send("tombolo_up 1\n".into())),
                _ => {}
            }
        }
    };
    let asking = async {
        let text = get(address, "/healthz").await;
        assert!(
            text.starts_with("HTTP/1.1 200") && text.ends_with("ok\n"),
            "{text}"
        );
        let text = get(address, "/metrics").await;
        assert!(
            text.contains("version=0.0.4") && text.ends_with("tombolo_up 1\n"),
            "{text}"
        );
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404"));
    };
    tokio::select! {
        () = asking => {}
        () = turning => panic!("the server ended"),
    }
    drop(receiver);
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 503"));
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
}
