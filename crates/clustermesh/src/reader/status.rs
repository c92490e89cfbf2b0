//! How a peer's connection is, for people.

use std::time::Duration;

use tombolo_model::{id::ClusterId, record::Resource};

use super::{Life, Reader};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub cluster: String,
    /// Of the peer that is believed.
    pub id: Option<ClusterId>,
    pub phase: Phase,
    /// What ended the last connection, until the next one is ready.
    pub trouble: Option<String>,
    /// What to do about the trouble.
    pub hint: &'static str,
    pub failures: u64,
    /// How long what is known of the peer may have been out of date; nothing if it is followed now, or not known at all.
    pub stale_for: Option<Duration>,
    /// Since the peer's last sign of life, while connected.
    pub silent_for: Option<Duration>,
    pub kinds: Vec<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Waiting {
        pause: Duration,
    },
    Connecting,
    /// Connected, but not all has been listed yet.
    Reading,
    Ready,
}

/// Records of one kind, in the present connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub resource: Resource,
    pub records: usize,
    pub synced: bool,
}

impl Reader {
    pub fn status(&self, now: Duration) -> Status {
        let session = match &self.life {
            Life::Session(session) => Some(session),
            Life::Waiting { .. } | Life::Connecting { .. } => None,
        };
        let ready = session.is_some_and(|session| session.is_ready());
        let phase = match &self.life {
            Life::Waiting { until } => Phase::Waiting {
                pause: until.saturating_sub(now),
            },
            Life::Connecting { .. } => Phase::Connecting,
            Life::Session(_) if ready => Phase::Ready,
            Life::Session(_) => Phase::Reading,
        };
        let resources = session.and_then(|session| Some((session, session.resources()?)));
        let kinds = resources.map(|(session, resources)| {
            let kinds = resources.iter().map(|resource| Kind {
                resource: *resource,
                records: session.count(*resource),
                synced: session.is_synced(*resource),
            });
            kinds.collect()
        });
        let fresh = self.fresh.filter(|_| !ready);
        Status {
            cluster: self.options.cluster.clone(),
            id: self.peer.as_ref().map(|peer| peer.id),
            phase,
            trouble: self.trouble.as_ref().map(|(text, _)| text.clone()),
            hint: self.trouble.as_ref().map_or("", |(_, hint)| hint),
            failures: self.failures,
            stale_for: fresh.map(|fresh| now.saturating_sub(fresh)),
            silent_for: session.map(|session| now.saturating_sub(session.last_heard())),
            kinds: kinds.unwrap_or_default(),
        }
    }
}
