//! The CNI plugin: gives a container its interface and takes it away again, on the word of the node's agent.
//!
//! Deliberately without a mind of its own: addresses, names and sizes come from the agent, and what a runtime may ask and how it is
//! answered comes from version 1.1.0 of the CNI specification. No async runtime and no command line, so that it starts at once.
//!
//! One node has one Tombolo network: attachments of two networks of a runtime are not told apart.

mod call;
mod client;
mod command;
mod config;
mod error;
mod interface;
mod log;
mod queue;
mod spec;

use call::{Call, Command};
use config::Config;
use error::Error;
use serde_json::Value;
use spec::Version;
use std::{
    io::{self, Read, Write},
    process::ExitCode,
};

/// No network configuration is anywhere near this long.
const INPUT_BYTES_MAX: u64 = 1 << 20;

fn main() -> ExitCode {
    // The error to a bad configuration is given in the newest version that we speak.
    let mut version = Version::LATEST;
    let (answer, code) = match serve(&mut version) {
        Ok(answer) => (answer, ExitCode::SUCCESS),
        Err(error) => (Some(error.render(version)), ExitCode::FAILURE),
    };
    let Some(answer) = answer else { return code };
    match writeln!(io::stdout(), "{answer:#}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Does what the runtime asks; what it answers goes to the standard output.
fn serve(version: &mut Version) -> Result<Option<Value>, Error> {
    let command = Command::from_env()?;
    let input = read_input()?;
    if command == Command::Version {
        return spec::versions(&input).map(Some);
    }
    let config = Config::parse(&input)?;
    *version = config.version;
    command.check_version(config.version)?;
    let call = Call::from_env(command)?;
    let answer = command::run(&call, &config);
    log::write(&call, &config, answer.as_ref().err());
    answer
}

fn read_input() -> Result<Vec<u8>, Error> {
    let mut input = Vec::new();
    io::stdin()
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut input)
        .map_err(Error::Input)?;
    if input.len() as u64 > INPUT_BYTES_MAX {
        return Err(Error::InputTooLong);
    }
    Ok(input)
}
