//! How the writing into a cluster's own store goes, for people and for Prometheus.

use std::collections::BTreeMap;

use serde::Serialize;
use tombolo_clustermesh::writer;

use crate::Page;

/// Refused keys that a status names one by one.
const REFUSED_NAMED_MAX: usize = 16;

#[derive(Clone, Debug, Serialize)]
pub struct WriterStatus {
    pub endpoints: Vec<String>,
    /// Whether it is we who write; another replica does otherwise.
    pub leads: bool,
    pub keys: usize,
    /// Keys that wait to be written.
    pub pending: usize,
    pub leases: usize,
    /// Keys that the store does not take.
    pub refused: usize,
    /// Some of them, with the reason.
    pub refused_keys: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl WriterStatus {
    pub fn new(status: writer::Status, endpoints: Vec<String>) -> WriterStatus {
        let named = status.refused.iter().take(REFUSED_NAMED_MAX);
        let named =
            named.map(|(key, why)| (String::from_utf8_lossy(key).into_owned(), why.clone()));
        WriterStatus {
            endpoints,
            leads: status.leads,
            keys: status.keys,
            pending: status.pending,
            leases: status.leases,
            refused: status.refused.len(),
            refused_keys: named.collect(),
            trouble: status.trouble,
        }
    }
}

pub fn render_writer(page: &mut Page, status: &WriterStatus) {
    let gauges = [
        (
            "leads",
            "1 where this replica writes, 0 where it stands by.",
            usize::from(status.leads),
        ),
        ("keys", "Keys that are wanted in the store.", status.keys),
        ("pending", "Keys that wait to be written.", status.pending),
        ("leases", "Leases that the keys hang on.", status.leases),
        (
            "refused",
            "Keys that the store does not take.",
            status.refused,
        ),
        (
            "trouble",
            "1 where the store can't be written.",
            usize::from(status.trouble.is_some()),
        ),
    ];
    for (name, help, value) in gauges {
        page.gauge(&format!("tombolo_writer_{name}"), help, value as u64);
    }
}
