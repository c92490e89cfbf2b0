use super::*;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

fn deletion(container: &str) -> Vec<u8> {
    let attachment = Attachment {
        container: container.to_owned(),
        interface: "eth0".to_owned(),
    };
    serde_json::to_vec(&attachment).unwrap()
}

#[tokio::test]
async fn a_folder_that_was_removed_is_made_again() {
    let path = std::env::temp_dir().join(format!("tombolo-queue-{}", std::process::id()));
    let queue = Queue::open(&path).unwrap();
    let (sender, mut commands) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let ends = stop.clone();
    let work = async move { queue.follow(sender, ends).await.unwrap() };
    let plugin = async {
        fs::remove_dir_all(&path).unwrap();
        let again = async {
            while !path.exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, again).await.unwrap();
        fs::write(path.join("a@eth0.json"), deletion("a")).unwrap();
        let command = tokio::time::timeout(PATIENCE, commands.recv())
            .await
            .unwrap();
        let Command::Ask(request, reply) = command.unwrap() else {
            panic!("not a question");
        };
        assert!(
            matches!(request, Request::EndpointDelete { attachment } if attachment.container == "a")
        );
        reply.send(Reply::Done).unwrap();
        stop.cancel();
    };
    tokio::join!(work, plugin);
    fs::remove_dir_all(&path).unwrap();
}
