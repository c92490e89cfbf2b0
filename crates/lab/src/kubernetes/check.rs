//! Whether what people make in the clusters of a lab reaches each other: pods of each, made and asked as any user does it.
//!
//! Every part adds what it has seen to the report, and what went wrong; none looks at the inside of Tombolo.

mod pods;
mod services;
mod table;
#[cfg(test)]
mod tests;

use crate::{error::Result, state::State};
use pods::Row;
use serde::Serialize;
use services::Calls;

#[derive(Serialize)]
pub struct Report {
    /// Who was asked by whom, which way.
    pods: Vec<Row>,
    /// What came of calling each cluster's address of a service of all clusters.
    services: Vec<Calls>,
    /// What was seen, in words.
    seen: Vec<String>,
    /// What should not be.
    failures: Vec<String>,
}

impl Report {
    /// Of nothing that was asked nothing is known.
    pub fn well(&self) -> bool {
        self.failures.is_empty() && self.pods.iter().any(|row| row.asked > 0)
    }

    pub fn text(&self) -> String {
        table::text(self)
    }
}

pub fn check(state: &State) -> Result<Report> {
    let mut report = Report {
        pods: Vec::new(),
        services: Vec::new(),
        seen: Vec::new(),
        failures: Vec::new(),
    };
    let pods = pods::check(state, &mut report)?;
    services::check(state, &pods, &mut report)?;
    Ok(report)
}
