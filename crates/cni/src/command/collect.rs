//! GC: forget all attachments but those that the runtime names.
//!
//! A configuration without that list deletes nothing: an old runtime must not empty a node by mistake.

use crate::{client, config::Config, error::Error, interface};
use tombolo_model::local::{Reply, Request};

pub fn collect(config: &Config) -> Result<(), Error> {
    let Some(attachments) = &config.valid else {
        return Err(Error::Config {
            key: "cni.dev/valid-attachments",
            problem: "is missing; GC keeps what it names and deletes everything else".to_owned(),
        });
    };
    let request = Request::EndpointKeep {
        attachments: attachments.clone(),
    };
    let forgotten = match client::ask(&config.socket, &request) {
        Ok(Reply::Done | Reply::Endpoints { .. }) => Ok(()),
        Ok(other) => Err(client::unexpected(&config.socket, &other)),
        Err(error) => Err(error),
    };
    // Interfaces that no agent knows, left behind by a plugin that was killed.
    interface::keep(attachments).and(forgotten)
}
