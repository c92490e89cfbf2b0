use super::*;
use std::future::{pending, ready};

async fn until_stopped(stop: CancellationToken) -> Result<()> {
    stop.cancelled().await;
    Ok(())
}

#[tokio::test]
async fn a_signal_lets_all_finish() {
    let mut supervisor = Supervisor::new("it ends");
    let stop = supervisor.stop();
    supervisor.spawn("other", until_stopped(stop.clone()));
    supervisor
        .run_until(until_stopped(stop), ready("SIGTERM"))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_essential_task_takes_all_with_it() {
    let mut supervisor = Supervisor::new("it ends");
    let stop = supervisor.stop();
    supervisor.spawn("reader", async { Err(anyhow!("no more to read")) });
    supervisor.spawn("other", until_stopped(stop.clone()));
    let error = supervisor
        .run_until(until_stopped(stop), pending())
        .await
        .unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "the task `reader` failed: no more to read"
    );
}

#[tokio::test]
async fn an_end_that_nobody_asked_for_is_an_error() {
    let supervisor = Supervisor::new("it ends");
    let error = supervisor
        .run_until(ready(Ok(())), pending())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("`loop` ended"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_stop_is_cut_off() {
    let mut supervisor = Supervisor::new("it ends");
    supervisor.spawn("stuck", pending());
    let begun = Instant::now();
    supervisor
        .run_until(pending(), ready("SIGTERM"))
        .await
        .unwrap();
    assert_eq!(begun.elapsed(), GRACE);
}
