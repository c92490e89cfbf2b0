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

struct Three;

impl Pages for Three {
    const PATHS: &'static str = "/text, /json and /busy";

    async fn page(&self, path: &str) -> Option<Answer> {
        match path {
            "/text" => Some(Answer::Text("up 1\n".into())),
            "/json" => Some(Answer::Json("{}".into())),
            "/busy" => Some(Answer::Unavailable("come again".into())),
            _ => None,
        }
    }
}

#[tokio::test]
async fn each_page_has_its_code_and_form() {
    let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = server.address();
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.serve(Arc::new(Three), stop.clone()));
    let table = [
        ("/text", "200", "version=0.0.4", "up 1\n"),
        ("/json", "200", "application/json", "{}"),
        ("/busy", "503", "text/plain", "come again\n"),
        (
            "/",
            "404",
            "text/plain",
            "there are /text, /json and /busy\n",
        ),
    ];
    for (path, code, form, body) in table {
        let text = get(address, path).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {code}")), "{text}");
        assert!(text.contains(form) && text.ends_with(body), "{text}");
    }
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
}
