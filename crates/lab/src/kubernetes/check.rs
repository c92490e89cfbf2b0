//! Whether what people make in the clusters of a lab reaches each other: pods of each, made and asked as any user does it.
//!
//! Every part adds what it has seen to the report, and what went wrong; none looks at the inside of Tombolo.

mod pods;
mod table;
#[cfg(test)]
mod tests;

use crate::{error::Result, state::State};
use pods::Row;
use serde::Serialize;

#[derive(Serialize)]
pub struct Report {
    /// Who was asked by whom, which way.
    pods: Vec<Row>,
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
        seen: Vec::new(),
        failures: Vec::new(),
    };
    pods::check(state, &mut report)?;
    Ok(report)
}
