//! The lease itself, and what to do on looking at it. Time comes in as an argument.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tombolo_k8s::client::ObjectName;

use crate::stamp::{micro_stamp, now};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    api_version: String,
    kind: String,
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: String,
    #[serde(default)]
    namespace: String,
    /// Of which the update is one: whoever comes second is refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    resource_version: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    /// Empty when it is free.
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u32>,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    lease_transitions: Option<u32>,
}

impl Lease {
    pub fn first(name: &ObjectName, holder: &str, grant: Duration) -> Lease {
        let lease = Lease {
            api_version: "coordination.k8s.io/v1".into(),
            kind: "Lease".into(),
            metadata: Meta {
                name: name.name.clone(),
                namespace: name.namespace.clone(),
                resource_version: String::new(),
            },
            spec: Spec::default(),
        };
        lease.held_by(holder, grant)
    }

    fn held_by(&self, holder: &str, grant: Duration) -> Lease {
        let mut lease = self.clone();
        let stamp = micro_stamp(now());
        let spec = &mut lease.spec;
        if spec.holder_identity.as_deref() != Some(holder) {
            spec.acquire_time = Some(stamp.clone());
            let before = spec.lease_transitions;
            spec.lease_transitions = Some(before.map_or(0, |times| times.saturating_add(1)));
        }
        spec.holder_identity = Some(holder.to_owned());
        spec.lease_duration_seconds = u32::try_from(grant.as_secs()).ok();
        spec.renew_time = Some(stamp);
        lease
    }

    pub fn free(&self) -> Lease {
        let mut lease = self.clone();
        lease.spec.holder_identity = Some(String::new());
        lease.spec.lease_duration_seconds = Some(1);
        lease
    }

    fn holder(&self) -> &str {
        self.spec.holder_identity.as_deref().unwrap_or_default()
    }
}

/// What one replica has seen of the lease.
#[derive(Debug)]
pub struct Look {
    own: String,
    grant: Duration,
    /// What it was, and since when it has not changed.
    seen: Option<(Spec, Duration)>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// It is another's, and may still be renewed.
    Wait,
    /// It is ours, free, or has not been renewed: this makes it ours.
    Write(Box<Lease>),
}

impl Look {
    pub fn new(own: &str, grant: Duration) -> Look {
        Look {
            own: own.to_owned(),
            grant,
            seen: None,
        }
    }

    /// Who held it when it was looked at last.
    pub fn holder(&self) -> &str {
        let seen = self.seen.as_ref();
        seen.and_then(|(spec, _)| spec.holder_identity.as_deref())
            .unwrap_or_default()
    }

    pub fn at(&mut self, lease: &Lease, now: Duration) -> Step {
        let since = match &self.seen {
            Some((spec, since)) if *spec == lease.spec => *since,
            _ => now,
        };
        self.seen = Some((lease.spec.clone(), since));
        let granted = lease.spec.lease_duration_seconds.map_or(self.grant, |it| {
            Duration::from_secs(it.into()).min(self.grant * 4)
        });
        let holder = lease.holder();
        let over = holder.is_empty() || now.saturating_sub(since) >= granted;
        if holder == self.own || over {
            return Step::Write(Box::new(lease.held_by(&self.own, self.grant)));
        }
        Step::Wait
    }
}
