//! The Lease service.

use std::{sync::Arc, time::Duration};

use futures_util::Stream;
use tonic::{Status, Streaming};

use super::{Service, dispatch::User};
use crate::{
    access::{Need, Right},
    error::{Error, Result},
    record::{LeaseId, LeaseStatus},
    wire::{self, HeaderOnly, convert::seconds, status},
};

impl Service {
    pub(super) fn lease_grant(
        &self,
        user: Option<&str>,
        request: wire::LeaseGrantRequest,
    ) -> Result<wire::LeaseGrantResponse> {
        self.require(user, &Need::SomeWrite)?;
        let ttl = Duration::from_secs(u64::try_from(request.ttl).unwrap_or(0));
        let id = (request.id != 0).then_some(LeaseId(request.id));
        let (lease, revision) = self.memory.at(self.now(), |mvcc, now| {
            Ok::<_, Error>((mvcc.grant(id, ttl, now)?, mvcc.revision()))
        })?;
        Ok(wire::LeaseGrantResponse {
            header: self.header(revision),
            id: lease.id.0,
            ttl: seconds(lease.ttl),
            error: String::new(),
        })
    }

    pub(super) fn lease_revoke(
        &self,
        user: Option<&str>,
        request: wire::LeaseRequest,
    ) -> Result<HeaderOnly> {
        let lease = LeaseId(request.id);
        self.require(user, &Need::SomeWrite)?;
        self.require_for_lease(user, lease, Right::Write)?;
        let revision = self
            .memory
            .at(self.now(), |mvcc, now| mvcc.revoke(lease, now))?;
        Ok(HeaderOnly {
            header: self.header(revision),
        })
    }

    pub(super) fn lease_time_to_live(
        &self,
        user: Option<&str>,
        request: wire::LeaseTimeToLiveRequest,
    ) -> Result<wire::LeaseTimeToLiveResponse> {
        let lease = LeaseId(request.id);
        self.require(user, &Need::SomeWrite)?;
        if request.keys {
            self.require_for_lease(user, lease, Right::Read)?;
        }
        let status = self.memory.at(self.now(), |mvcc, now| {
            mvcc.handle_timeout(now);
            mvcc.lease(lease)
        });
        let (ttl, status) = match status {
            Ok(status) => (status.remaining.as_secs() as i64, status),
            // A lease that is not there is no error here.
            Err(_) => (-1, LeaseStatus::default()),
        };
        let keys = if request.keys {
            status.keys
        } else {
            Vec::new()
        };
        Ok(wire::LeaseTimeToLiveResponse {
            header: self.present_header(),
            id: request.id,
            ttl,
            granted_ttl: seconds(status.granted),
            keys,
        })
    }

    pub(super) fn lease_leases(
        &self,
        user: Option<&str>,
        _request: wire::Empty,
    ) -> Result<wire::LeaseLeasesResponse> {
        self.require(user, &Need::SomeWrite)?;
        let ids = self.memory.with(|mvcc, _| mvcc.leases());
        let leases = ids.into_iter().map(|id| wire::LeaseRequest { id: id.0 });
        Ok(wire::LeaseLeasesResponse {
            header: self.present_header(),
            leases: leases.collect(),
        })
    }

    fn keep_alive(
        &self,
        user: Option<&str>,
        request: &wire::LeaseRequest,
    ) -> Result<wire::LeaseKeepAliveResponse> {
        self.require(user, &Need::SomeWrite)?;
        let lease = LeaseId(request.id);
        let renewed = self
            .memory
            .at(self.now(), |mvcc, now| mvcc.renew(lease, now));
        let ttl = match renewed {
            Ok(ttl) => seconds(ttl),
            // As etcd does, so that clients find out by the answer to the one of many that it is for.
            Err(Error::LeaseNotFound { .. }) => 0,
            Err(error) => return Err(error),
        };
        Ok(wire::LeaseKeepAliveResponse {
            header: self.present_header(),
            id: request.id,
            ttl,
        })
    }
}

/// A stream of renewals, each with its answer.
pub struct KeepAlives {
    service: Arc<Service>,
    user: User,
    requests: Streaming<wire::LeaseRequest>,
}

impl KeepAlives {
    pub fn new(service: Arc<Service>, user: User, requests: Streaming<wire::LeaseRequest>) -> Self {
        KeepAlives {
            service,
            user,
            requests,
        }
    }

    pub fn into_stream(
        self,
    ) -> impl Stream<Item = Result<wire::LeaseKeepAliveResponse, Status>> + Send + 'static {
        futures_util::stream::unfold(self, |mut stream| async move {
            let request = match stream.requests.message().await {
                Ok(Some(request)) => request,
                Ok(None) | Err(_) => return None,
            };
            let answer = stream
                .service
                .keep_alive(stream.user.as_deref(), &request)
                .map_err(|error| status::from_error(&error));
            Some((answer, stream))
        })
    }
}
