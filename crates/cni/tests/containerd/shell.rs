//! Commands and waits of the test.

use std::{
    fmt::Display,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Generous: the machine may build at the same time.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs a command that must succeed; the answer is what it said.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    match attempt(command) {
        Ok(text) => text,
        Err(text) => panic!("{command:?}: {text}"),
    }
}

/// Runs a command; the answer is what it said, on which of the two channels it says more.
pub fn attempt(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(out)
    } else {
        Err(format!("{}: {out}{err}", output.status))
    }
}

/// Ends a process at once, by the shell's own word: a bare machine has no program for it.
pub fn kill(pid: impl Display) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("kill -KILL {pid}")]);
    command
}

/// Waits for a condition; it looks often, since nothing tells of it.
#[track_caller]
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "waited {} s for {what}",
            DEADLINE.as_secs()
        );
        thread::park_timeout(Duration::from_millis(50));
    }
}
