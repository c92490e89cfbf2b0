use super::*;

#[tokio::test]
async fn probes_see_whether_the_loop_turns() {
    let (commands, mut receiver) = mpsc::channel(4);
    let pages = AgentPages(commands);
    let turning = async {
        while let Some(command) = receiver.recv().await {
            match command {
                Command::Alive(answer) => drop(answer.send(())),
                Command::Ask(Request::Status, answer) => {
                    drop(answer.send(Reply::Status(Box::default())));
                }
                Command::Metrics(answer) => drop(answer.send("tombolo_up 1\n".into())),
                _ => {}
            }
        }
    };
    let asking = async {
        let alive = pages.page("/healthz").await;
        assert_eq!(alive, Some(Answer::Text("ok\n".into())));
        let metrics = pages.page("/metrics").await;
        assert_eq!(metrics, Some(Answer::Text("tombolo_up 1\n".into())));
        let status = pages.page("/status").await;
        assert!(matches!(status, Some(Answer::Json(_))), "{status:?}");
        assert_eq!(pages.page("/").await, None);
    };
    tokio::select! {
        () = asking => {}
        () = turning => panic!("nobody can ask any more"),
    }
    drop(receiver);
    let gone = pages.page("/healthz").await;
    assert_eq!(gone, Some(Answer::Unavailable(BUSY.into())));
}
