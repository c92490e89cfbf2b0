//! How the reading of a peer goes, in the words of a status.

use std::{collections::BTreeMap, time::Duration};

use tombolo_clustermesh::{
    reader::{self, Phase},
    remote::Rejects,
};
use tombolo_model::{local::PeerStatus, record::Resource};

use super::FileConnect;
use crate::{Page, days_left};

/// What a role knows of a peer.
pub struct Found {
    pub reader: reader::Status,
    pub rejects: BTreeMap<Resource, Rejects>,
    /// Whether what was read is where it is to be.
    pub arrived: bool,
}

impl Found {
    pub fn is_ready(&self) -> bool {
        self.reader.phase == Phase::Ready && self.arrived
    }

    pub fn status(self, connect: &FileConnect) -> PeerStatus {
        let ready = self.is_ready();
        let Found {
            reader,
            rejects,
            arrived,
        } = self;
        let seconds = |duration: Duration| duration.as_secs();
        let mut rejected = BTreeMap::new();
        for (reason, count) in rejects.values().flat_map(Rejects::by_reason) {
            *rejected.entry(reason.to_owned()).or_default() += count as u64;
        }
        let last = rejects.values().find_map(Rejects::last);
        let mut status = PeerStatus {
            cluster: reader.cluster,
            cluster_id: reader.id,
            ready,
            phase: word(reader.phase, arrived).into(),
            endpoints: connect.peer().endpoints,
            trouble: reader.trouble,
            hint: reader.hint.into(),
            path: None,
            failures: reader.failures,
            stale_seconds: reader.stale_for.map(seconds),
            silent_seconds: reader.silent_for.map(seconds),
            records: reader
                .kinds
                .iter()
                .map(|kind| (kind.resource.to_string(), kind.records as u64))
                .collect(),
            rejected,
            last_rejected: last.map(ToString::to_string),
            certificate_days: None,
        };
        if let Some(file) = connect.certificate() {
            status.certificate_days = days_left(&file).ok();
        }
        status
    }
}

fn word(phase: Phase, arrived: bool) -> &'static str {
    match phase {
        Phase::Waiting { .. } => "waiting",
        Phase::Connecting => "connecting",
        Phase::Reading => "reading",
        Phase::Ready if !arrived => "copying",
        Phase::Ready => "ready",
    }
}

/// The metrics of all peers, under upstream's names with a prefix of ours.
pub fn render(page: &mut Page, peers: &[PeerStatus]) {
    type Value = fn(&PeerStatus) -> Option<u64>;
    let gauges: [(&str, &str, &str, Value); 6] = [
        (
            "remote_cluster_readiness_status",
            "gauge",
            "1 when all that the cluster has is known and followed.",
            |peer| Some(peer.ready.into()),
        ),
        (
            "remote_cluster_failures",
            "gauge",
            "Connections to the cluster's store that failed.",
            |peer| Some(peer.failures),
        ),
        (
            "remote_cluster_stale_seconds",
            "gauge",
            "For how long what is known of the cluster may have been out of date.",
            |peer| Some(peer.stale_seconds.unwrap_or(0)),
        ),
        (
            "remote_cluster_rejected_records",
            "gauge",
            "Records of the cluster that are not believed.",
            |peer| Some(peer.rejected.values().sum()),
        ),
        (
            "remote_cluster_certificate_days",
            "gauge",
            "Whole days until our certificate there ends.",
            |peer| Some(u64::try_from(peer.certificate_days?).unwrap_or(0)),
        ),
        (
            "remote_cluster_endpoints",
            "gauge",
            "Addresses that the cluster tells of.",
            |peer| peer.records.get("ip").copied(),
        ),
    ];
    let ready = peers.iter().filter(|peer| peer.ready).count();
    page.gauge(
        "tombolo_clustermesh_remote_clusters",
        "Clusters that are ready.",
        ready as u64,
    );
    for (name, kind, help, value) in gauges {
        let name = format!("tombolo_clustermesh_{name}");
        page.head(&name, kind, help);
        for peer in peers {
            if let Some(value) = value(peer) {
                page.line(&name, &[("target_cluster", &peer.cluster)], value);
            }
        }
    }
    let name = "tombolo_clustermesh_remote_cluster_records";
    page.head(name, "gauge", "Records that the cluster tells of, by kind.");
    for peer in peers {
        for (kind, count) in &peer.records {
            let labels = [("target_cluster", peer.cluster.as_str()), ("kind", kind)];
            page.line(name, &labels, *count);
        }
    }
}
