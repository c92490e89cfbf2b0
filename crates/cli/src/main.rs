//! The program `tombolo`: starts the agent and the lab, and shows what the agent of this node knows.
//!
//! Deliberately without decisions of its own: it asks, and renders the answer.

mod chart;
mod client;
mod cluster;
mod command;
mod helm;
mod output;
mod table;

use clap::{CommandFactory, Parser};
use command::Command;
use std::{
    panic,
    path::PathBuf,
    process::{self, ExitCode},
};
use tombolo_model::local::{Failure, FailureCode, SOCKET_PATH};

/// Connects the pods of many Kubernetes clusters.
#[derive(Parser)]
#[command(name = "tombolo", version, max_term_width = 100)]
struct Cli {
    /// Where the agent of this node listens
    #[arg(long, global = true, env = "TOMBOLO_SOCKET", value_name = "PATH", default_value = SOCKET_PATH)]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    abort_on_panic();
    let Cli { socket, command } = Cli::parse();
    match command.run(&socket) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", render(&error));
            ExitCode::FAILURE
        }
    }
}

/// No part goes on beside one that broke, in builds that unwind neither.
fn abort_on_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        tell(what);
        process::abort();
    }));
}

/// The whole command line, for scripts that complete it.
fn command_line() -> clap::Command {
    Cli::command()
}

/// One line that says what is wrong, and one that says what to do.
fn render(error: &anyhow::Error) -> String {
    let mut text = format!("error: {}\n", chain(error));
    if let Some(hint) = hint(error) {
        text.push_str(&format!("hint: {hint}\n"));
    }
    text
}

/// An error and its causes, but for those that a message has told already.
fn chain(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| {
        let cause = cause.to_string();
        if told.is_empty() {
            cause
        } else if told.contains(&cause) {
            told
        } else {
            format!("{told}: {cause}")
        }
    })
}

/// What is wrong, and what to do.
fn failure(message: String, hint: &str) -> anyhow::Error {
    anyhow::Error::new(Failure {
        code: FailureCode::Unavailable,
        message,
        hint: hint.to_owned(),
    })
}

fn hint(error: &anyhow::Error) -> Option<&str> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failure>())
        .map(|failure| failure.hint.as_str())
        .filter(|hint| !hint.is_empty())
}

/// The reader, `head` for one, has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests;
