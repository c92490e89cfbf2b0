use super::*;
use tombolo_model::local::{Failure, FailureCode};

/// What the pages are while commands are dealt with in such a way, and when nobody is left who does.
async fn pages(deal: impl Fn(Command), paths: &[&str]) -> [Vec<Option<Answer>>; 2] {
    pages_of(AgentPages, deal, paths).await
}

async fn pages_of<P: Pages>(
    make: impl FnOnce(mpsc::Sender<Command>) -> P,
    deal: impl Fn(Command),
    paths: &[&str],
) -> [Vec<Option<Answer>>; 2] {
    let (commands, mut receiver) = mpsc::channel(4);
    let pages = make(commands);
    let all = async || {
        let mut all = Vec::new();
        for path in paths {
            all.push(pages.page(path).await);
        }
        all
    };
    let turning = async {
        while let Some(command) = receiver.recv().await {
            deal(command);
        }
    };
    let during = tokio::select! {
        during = all() => during,
        () = turning => panic!("nobody can ask any more"),
    };
    drop(receiver);
    [during, all().await]
}

#[tokio::test]
async fn probes_see_whether_the_loop_turns() {
    let turn = |command| match command {
        Command::Alive(answer) => drop(answer.send(())),
        Command::Ready(answer) => drop(answer.send(Ok(()))),
        Command::Ask(Request::Status, answer) => {
            drop(answer.send(Reply::Status(Box::default())));
        }
        Command::Metrics(answer) => drop(answer.send("tombolo_up 1\n".into())),
        _ => {}
    };
    let paths = ["/healthz", "/readyz", "/metrics", "/", "/status"];
    let [during, after] = pages(turn, &paths).await;
    let ok = || Some(Answer::Text("ok\n".into()));
    let metrics = Some(Answer::Text("tombolo_up 1\n".into()));
    assert_eq!(during[..4], [ok(), ok(), metrics, None]);
    assert!(matches!(during[4], Some(Answer::Json(_))), "{during:?}");
    let gone = || Some(Answer::Unavailable(BUSY.into()));
    assert_eq!(after, [gone(), gone(), gone(), None, gone()]);
}

#[tokio::test]
async fn an_agent_that_waits_is_alive_and_not_ready() {
    let failure = Failure {
        code: FailureCode::Unavailable,
        message: "it does not know its ranges".into(),
        hint: "look at the operator".into(),
    };
    let wait = |command: Command| command.refuse(failure.clone());
    let [during, _] = pages(wait, &["/healthz", "/readyz"]).await;
    let alive = Some(Answer::Text("ok\n".into()));
    let waits = "it does not know its ranges; look at the operator";
    let waits = Some(Answer::Unavailable(waits.into()));
    assert_eq!(during, [alive, waits]);
}

#[tokio::test]
async fn balancers_see_whether_to_send_to_the_node() {
    let leaves = Leaves::default();
    let make = |commands| NodePages {
        commands,
        leaves: leaves.clone(),
    };
    let turn = |command| match command {
        Command::Alive(answer) => drop(answer.send(())),
        _ => panic!("nothing else is asked for"),
    };
    let paths = ["/healthz", "/livez", "/metrics"];
    let said = |answer: &Option<Answer>| match answer {
        Some(Answer::Json(text)) => {
            let said: serde_json::Value = serde_json::from_str(text).unwrap();
            assert!(said["lastUpdated"].is_string() && said["currentTime"].is_string());
            said["nodeEligible"].as_bool()
        }
        _ => None,
    };
    let gone = || Some(Answer::Unavailable(BUSY.into()));

    let [during, after] = pages_of(make, turn, &paths).await;
    assert_eq!(
        [said(&during[0]), said(&during[1])],
        [Some(true), Some(true)]
    );
    assert_eq!(during[2], None);
    assert_eq!(after, [gone(), gone(), None]);

    leaves.set(true);
    let [during, _] = pages_of(make, turn, &paths).await;
    assert_eq!(during[0], Some(Answer::Unavailable(LEAVES.into())));
    assert_eq!(said(&during[1]), Some(false));
}
