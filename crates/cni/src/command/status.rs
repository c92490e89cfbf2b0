//! STATUS: whether an ADD could succeed now.
//!
//! Says nothing of the pods that run: the kernel's programs forward for them also while the agent is away.

use crate::{client, config::Config, error::Error};
use tombolo_model::local::{self, Reply, Request};

#[cfg(test)]
mod tests;

pub fn status(config: &Config) -> Result<(), Error> {
    match client::ask(&config.socket, &Request::Status) {
        Ok(Reply::Status(status)) => judge(&status),
        Ok(other) => Err(client::unexpected(&config.socket, &other)),
        Err(error @ Error::AgentAway { .. }) => Err(not_ready(
            error.to_string(),
            "pods that run keep their network",
        )),
        Err(Error::Refused(failure)) => Err(not_ready(failure.message, &failure.hint)),
        Err(error) => Err(error),
    }
}

fn judge(status: &local::Status) -> Result<(), Error> {
    match status.free_addresses.iter().find(|(_, free)| **free == 0) {
        None => Ok(()),
        Some((family, _)) => Err(not_ready(
            format!("no {family} address is free"),
            "delete pods, or give the node a larger range and restart its agent",
        )),
    }
}

fn not_ready(problem: String, hint: &str) -> Error {
    Error::NotReady {
        problem,
        hint: hint.to_owned(),
    }
}
