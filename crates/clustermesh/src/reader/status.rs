//! How a peer's connection is, for people.

use std::time::Duration;

use tombolo_model::{id::ClusterId, record::Resource};

use super::{Life, Reader, Session};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub cluster: String,
    /// Of the peer that is believed.
    pub id: Option<ClusterId>,
    pub phase: Phase,
    /// What the peer has not written yet, or what ended the last connection, until the next one is ready.
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

/// Records of one kind: in the present connection, or as many as were known before it has told all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub resource: Resource,
    pub records: usize,
    pub synced: bool,
}

impl Reader {
    pub fn status(&self, now: Duration) -> Status {
        let session = match &self.life {
            Life::Session(session) => Some(&**session),
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
        let is_unheard = session.is_some_and(Session::is_unheard);
        let fresh = self.fresh.filter(|_| !ready || is_unheard);
        let lacks = session.and_then(Session::lacks);
        let lacks = lacks.map(|trouble| (trouble.to_string(), trouble.hint()));
        let (trouble, hint) = lacks.or_else(|| self.trouble.clone()).unzip();
        Status {
            cluster: self.options.cluster.clone(),
            id: self.peer.as_ref().map(|peer| peer.id),
            phase,
            trouble,
            hint: hint.unwrap_or_default(),
            failures: self.failures,
            stale_for: fresh.map(|fresh| now.saturating_sub(fresh)),
            silent_for: session.map(|session| now.saturating_sub(session.last_heard())),
            kinds: self.kinds(session),
        }
    }

    fn kinds(&self, session: Option<&Session>) -> Vec<Kind> {
        let before = |resource| self.counts.get(resource).copied();
        let read = session.and_then(|session| Some((session, session.resources()?)));
        let Some((session, resources)) = read else {
            let known = self.counts.iter().map(|(resource, records)| Kind {
                resource: *resource,
                records: *records,
                synced: false,
            });
            return known.collect();
        };
        let kinds = resources.iter().map(|resource| {
            let synced = session.is_synced(*resource);
            let now = session.count(*resource);
            Kind {
                resource: *resource,
                records: before(resource).filter(|_| !synced).unwrap_or(now),
                synced,
            }
        });
        kinds.collect()
    }
}
