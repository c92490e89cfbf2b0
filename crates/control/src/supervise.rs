//! The tasks of a program: each has a name, all are essential, and they end together.

use anyhow::{Context as _, Result, anyhow};
use std::{future::Future, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

#[cfg(test)]
mod tests;

/// How long tasks have to finish what they began.
const GRACE: Duration = Duration::from_secs(5);

pub struct Supervisor {
    tasks: JoinSet<(&'static str, Result<()>)>,
    stop: CancellationToken,
    farewell: &'static str,
}

impl Supervisor {
    /// `farewell` is what the log says when the program is asked to end.
    pub fn new(farewell: &'static str) -> Supervisor {
        Supervisor {
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
            farewell,
        }
    }

    /// What tells tasks to stop.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<()>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// Runs the main task beside the others, until a signal or the end of any of them stops all.
    pub async fn run(self, main: impl Future<Output = Result<()>>) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("listening to SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listening to SIGINT")?;
        let asked = async {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        self.run_until(main, asked).await
    }

    async fn run_until(
        mut self,
        main: impl Future<Output = Result<()>>,
        asked: impl Future<Output = &'static str>,
    ) -> Result<()> {
        let mut outcome = Ok(());
        let mut deadline: Option<Instant> = None;
        let mut main_ended = false;
        tokio::pin!(main, asked);
        while !(main_ended && self.tasks.is_empty()) {
            let ended = tokio::select! {
                result = &mut main, if !main_ended => {
                    main_ended = true;
                    ("loop", result)
                }
                Some(joined) = self.tasks.join_next() => joined.unwrap_or_else(|error| ("task", Err(error.into()))),
                signal = &mut asked, if deadline.is_none() => {
                    tracing::info!("{signal}: {}", self.farewell);
                    deadline = Some(self.stop_all());
                    continue;
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    tracing::warn!("tasks have not ended within {} s and are cut off", GRACE.as_secs());
                    return outcome;
                }
            };
            let (name, result) = ended;
            let failed = match result {
                Err(error) => Some(error.context(format!("the task `{name}` failed"))),
                Ok(()) if deadline.is_none() => Some(anyhow!(
                    "the task `{name}` ended although nobody asked it to"
                )),
                Ok(()) => None,
            };
            if let (Some(error), true) = (failed, outcome.is_ok()) {
                outcome = Err(error);
            }
            deadline.get_or_insert_with(|| self.stop_all());
        }
        outcome
    }

    fn stop_all(&self) -> Instant {
        self.stop.cancel();
        Instant::now() + GRACE
    }
}
