//! What the plugin does, a file for each command.

use crate::{
    call::{Call, Command},
    config::Config,
    error::Error,
};
use serde_json::Value;

mod add;
mod check;
mod collect;
mod delete;
mod status;

/// Does what is asked; only ADD has something to answer.
pub fn run(call: &Call, config: &Config) -> Result<Option<Value>, Error> {
    match call.command {
        Command::Add => {
            return add::add(call, config).map(|outcome| Some(outcome.render(config.version)));
        }
        Command::Delete => delete::delete(call, config)?,
        Command::Check => check::check(call, config)?,
        Command::Collect => collect::collect(config)?,
        Command::Status => status::status(config)?,
        Command::Version => unreachable!("VERSION is answered before the configuration is read"),
    }
    Ok(None)
}
