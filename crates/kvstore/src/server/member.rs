//! The Cluster and Maintenance services, as far as they have a meaning for a store that is alone.

use super::Service;
use crate::{
    access::Need,
    error::{Error, Result},
    record::Revision,
    wire::{self, HeaderOnly},
};

/// Clients choose by it what they may ask for: what we speak is the protocol of this version.
const VERSION: &str = "3.6.6";
const STORAGE_VERSION: &str = "3.6.0";
const NO_SPACE: i32 = 1;

impl Service {
    pub(super) fn member_list(
        &self,
        _user: Option<&str>,
        _request: wire::Empty,
    ) -> Result<wire::MemberListResponse> {
        let scheme = if self.secure { "https" } else { "http" };
        Ok(wire::MemberListResponse {
            // etcd tells no revision here.
            header: self.header(Revision::default()),
            members: vec![wire::Member {
                id: self.member_id,
                name: self.name.clone(),
                peer_urls: Vec::new(),
                client_urls: vec![format!("{scheme}://{}", self.address)],
            }],
        })
    }

    pub(super) fn alarm(
        &self,
        user: Option<&str>,
        request: wire::AlarmRequest,
    ) -> Result<wire::AlarmResponse> {
        if request.action != 0 {
            self.require(user, &Need::Root)?;
        }
        let full = self.memory.with(|mvcc, _| {
            let (_, live) = mvcc.bytes();
            live + mvcc.limits().record_bytes_max > mvcc.limits().bytes_max
        });
        let alarm = wire::Alarm {
            member_id: self.member_id,
            alarm: NO_SPACE,
        };
        Ok(wire::AlarmResponse {
            header: self.present_header(),
            alarms: full.then_some(alarm).into_iter().collect(),
        })
    }

    pub(super) fn status(
        &self,
        _user: Option<&str>,
        _request: wire::Empty,
    ) -> Result<wire::StatusResponse> {
        let (revision, (all, live), max) = self.memory.with(|mvcc, _| {
            let max = mvcc.limits().bytes_max;
            (mvcc.revision(), mvcc.bytes(), max)
        });
        // Each revision is one step of a log that is never written.
        let index = revision.0.unsigned_abs();
        Ok(wire::StatusResponse {
            header: self.header(revision),
            version: VERSION.to_owned(),
            db_size: all as i64,
            leader: self.member_id,
            raft_index: index,
            raft_term: 2,
            raft_applied_index: index,
            errors: Vec::new(),
            db_size_in_use: live as i64,
            storage_version: STORAGE_VERSION.to_owned(),
            db_size_quota: max as i64,
        })
    }

    /// There is nothing to be done, and it is done at once.
    pub(super) fn defragment(
        &self,
        user: Option<&str>,
        _request: wire::Empty,
    ) -> Result<HeaderOnly, Error> {
        self.require(user, &Need::Root)?;
        Ok(HeaderOnly {
            header: self.present_header(),
        })
    }
}
