//! DEL: take the interface away and have the agent forget it, now or when it is back.
//!
//! Looks neither at the namespace, which may be gone, nor at the result of ADD, which may never have been.

use crate::{call::Call, client, config::Config, error::Error, interface, queue};
use tombolo_model::local::{Attachment, FailureCode, Reply, Request};

pub fn delete(call: &Call, config: &Config) -> Result<(), Error> {
    release(&call.attachment, config)
}

/// The interface goes before its addresses are free again, so that no two pods have the same.
pub fn release(attachment: &Attachment, config: &Config) -> Result<(), Error> {
    let removed = interface::remove(attachment);
    let forgotten = forget(attachment, config);
    removed.and(forgotten)
}

fn forget(attachment: &Attachment, config: &Config) -> Result<(), Error> {
    let Err(error) = ask(attachment, config) else {
        return Ok(());
    };
    if !is_away(&error) {
        return Err(error);
    }
    let file = queue::push(&config.delete_queue, attachment)?;
    // An agent listens before it reads the queue: one that came up meanwhile may have read it too early for us,
    // but then it answers now.
    match ask(attachment, config) {
        Ok(()) => queue::remove(&file),
        Err(_) => Ok(()),
    }
}

fn ask(attachment: &Attachment, config: &Config) -> Result<(), Error> {
    let request = Request::EndpointDelete {
        attachment: attachment.clone(),
    };
    match client::ask(&config.socket, &request)? {
        Reply::Done | Reply::Endpoint(_) => Ok(()),
        other => Err(client::unexpected(&config.socket, &other)),
    }
}

fn is_away(error: &Error) -> bool {
    match error {
        Error::AgentAway { .. } => true,
        Error::Refused(failure) => failure.code == FailureCode::Unavailable,
        _ => false,
    }
}
