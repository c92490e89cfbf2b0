//! The log of a program: structured, on standard error, filtered by `RUST_LOG`.

use clap::ValueEnum;
use std::io;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Does nothing when the program has a log already.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy()
        // Whoever asks Kubernetes says what became of it; its client would say so a second time.
        .add_directive("kube_client=off".parse().expect("a directive"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false);
    let _ = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
