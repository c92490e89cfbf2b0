//! What the clusters of a lab say of themselves.

use super::{api::Api, install};
use crate::{error::Result, state::State};
use serde::Serialize;

const READY: &str = "ready";
const ABSENT: &str = "not installed";

#[derive(Serialize)]
pub struct ClusterStatus {
    pub number: u8,
    /// Its name, and that of its context.
    pub name: String,
    /// Where its objects are kept.
    pub store: String,
    pub nodes: usize,
    pub nodes_ready: usize,
    /// `ready`, `not installed`, or what is missing.
    pub tombolo: String,
}

impl ClusterStatus {
    pub fn well(&self) -> bool {
        self.tombolo == ABSENT || self.tombolo == READY
    }
}

/// None of a bare lab. What can't be asked says why not.
pub fn clusters(state: &State) -> Vec<ClusterStatus> {
    let Some(objects) = state.shape.kubernetes else {
        return Vec::new();
    };
    let status = |cluster| {
        let mut status = ClusterStatus {
            number: cluster,
            name: state.cluster_name(cluster),
            store: objects.to_string(),
            nodes: 0,
            nodes_ready: 0,
            tombolo: String::new(),
        };
        if let Err(error) = ask(state, cluster, &mut status) {
            status.tombolo = format!("unknown: {error}");
        }
        status
    };
    state.shape.clusters().map(status).collect()
}

fn ask(state: &State, cluster: u8, status: &mut ClusterStatus) -> Result<()> {
    let api = Api::of(state, cluster)?;
    (status.nodes, status.nodes_ready) = install::nodes(&api)?;
    status.tombolo = match install::is_there(&api)? {
        false => ABSENT.into(),
        true => install::trouble(&api)?.unwrap_or_else(|| READY.into()),
    };
    Ok(())
}
