//! The clusters whose stores are read: a line for each, and what is wrong with it.

use super::{Problem, duration};
use crate::table;
use tombolo_model::local::{PathStatus, PeerStatus};

/// A certificate that ends within so many days is told of.
const CERTIFICATE_DAYS_MIN: i64 = 14;
const RENEW: &str = "have that cluster issue a new one: `tombolo certificates issue` there";

/// `own` is the cluster that reads.
pub fn table(own: &str, peers: &[PeerStatus]) -> String {
    let rows = peers.iter().map(|peer| {
        let rejected: u64 = peer.rejected.values().sum();
        let mut name = peer.cluster.clone();
        if name == own {
            name.push_str(" (own)");
        }
        [
            name,
            peer.cluster_id.map(|id| id.to_string()).unwrap_or_default(),
            peer.phase.clone(),
            table::list(
                peer.records
                    .iter()
                    .map(|(kind, count)| format!("{kind} {count}")),
            ),
            behind(peer),
            peer.path.as_ref().map(path).unwrap_or_default(),
            peer.path.as_ref().map(backends).unwrap_or_default(),
            if rejected > 0 {
                rejected.to_string()
            } else {
                String::new()
            },
            peer.certificate_days.map(days).unwrap_or_default(),
        ]
    });
    let headings = [
        "CLUSTER",
        "ID",
        "PHASE",
        "RECORDS",
        "BEHIND",
        "NODES",
        "BACKENDS",
        "REJECTED",
        "CERTIFICATE",
    ];
    table::render(headings, rows)
}

/// For how long what is known may have been out of date. Nothing where nothing is known.
fn behind(peer: &PeerStatus) -> String {
    match peer.stale_seconds {
        Some(seconds) => duration(seconds),
        None if peer.ready => duration(0),
        None => String::new(),
    }
}

/// How many answer of the nodes that hold backends of services here.
fn path(path: &PathStatus) -> String {
    if let Some(seconds) = path.silent_seconds {
        return format!("silent for {}", duration(seconds as u64));
    }
    // Who has never answered is not counted against anybody.
    match (path.nodes - path.unknown, path.answering + path.suspect) {
        (0, _) => "never answered".to_owned(),
        (asked, answering) => format!("{answering} of {asked} answer"),
    }
}

/// How many answer of those that are asked themselves and have ever answered.
fn backends(path: &PathStatus) -> String {
    let backends = path.backends;
    match (
        backends.asked - backends.unknown,
        backends.answering + backends.suspect,
    ) {
        (0, _) => String::new(),
        (asked, answering) => format!("{answering} of {asked} answer"),
    }
}

fn days(days: i64) -> String {
    if days < 0 {
        "ended".to_owned()
    } else {
        format!("{days} d")
    }
}

/// What is wrong, in order of weight. A cluster that is being taken out of the mesh is as it should be.
pub fn problems(own: &str, peers: &[PeerStatus]) -> Vec<Problem> {
    let here = peers.iter().filter(|peer| peer.phase != "leaving");
    here.flat_map(|peer| {
        let name = if peer.cluster == own {
            "the own cluster's store".to_owned()
        } else {
            format!("cluster {}", peer.cluster)
        };
        reading(&name, peer)
            .into_iter()
            .chain(silent(&name, peer))
            .chain(rejected(&name, peer))
            .chain(certificate(&name, peer))
    })
    .collect()
}

fn reading(name: &str, peer: &PeerStatus) -> Option<Problem> {
    let why = peer.trouble.clone();
    let sentence = match (peer.ready, why) {
        (true, None) => return None,
        (true, Some(why)) => format!("{name}: {why}"),
        (false, Some(why)) => format!("{name} is not ready: {why}"),
        (false, None) => format!("{name} is not ready: {}", peer.phase),
    };
    Some(Problem::new(sentence, &peer.hint))
}

fn silent(name: &str, peer: &PeerStatus) -> Option<Problem> {
    let path = peer.path.filter(|path| path.silent > 0)?;
    let sentence = match path.silent_seconds {
        Some(seconds) => format!(
            "{name}: none of its nodes has answered for {}",
            duration(seconds as u64)
        ),
        None => format!(
            "{name}: {} of its {} nodes that are asked do not answer",
            path.silent, path.nodes
        ),
    };
    let hint = "their backends get no connections while there are others; see the network between the clusters, and `tombolo service explain`";
    Some(Problem::new(sentence, hint))
}

fn rejected(name: &str, peer: &PeerStatus) -> Option<Problem> {
    let last = peer.last_rejected.as_ref()?;
    let reasons = table::list(
        peer.rejected
            .iter()
            .map(|(why, count)| format!("{why} {count}")),
    );
    let sentence =
        format!("{name} has records that are not believed ({reasons}), the last: {last}");
    let hint =
        "they are left out, all others are used; see what writes them into that cluster's store";
    Some(Problem::new(sentence, hint))
}

fn certificate(name: &str, peer: &PeerStatus) -> Option<Problem> {
    let days = peer
        .certificate_days
        .filter(|days| *days < CERTIFICATE_DAYS_MIN)?;
    let sentence = if days < 0 {
        format!("{name}: our certificate there has ended")
    } else {
        format!("{name}: our certificate there ends in {days} days")
    };
    Some(Problem::new(sentence, RENEW))
}
