//! Between the messages of the protocol and our own words, for server and client.

use std::time::Duration;

use bytes::Bytes;

use super as wire;
use crate::{
    error::{Error, Result},
    key::Keys,
    mvcc::WatchSpec,
    record::{
        Change, Delete, DeleteAnswer, Field, LeaseId, Order, Page, Put, PutAnswer, Query, Record,
        Revision, Within, Written,
    },
};

const ZERO: &[u8] = &[0];

pub fn keys(key: Bytes, end: Bytes) -> Keys {
    match &end[..] {
        [] => Keys::One(key),
        // No key is empty, so all that follow after the shortest are all.
        ZERO if key == ZERO => Keys::all(),
        ZERO => Keys::From(key),
        _ => Keys::Between(key, end),
    }
}

/// The key and the end of the range.
pub fn bounds(keys: &Keys) -> (Bytes, Bytes) {
    match keys {
        Keys::One(key) => (key.clone(), Bytes::new()),
        Keys::Between(start, end) => (start.clone(), end.clone()),
        Keys::From(start) if start.is_empty() => {
            (Bytes::from_static(ZERO), Bytes::from_static(ZERO))
        }
        Keys::From(start) => (start.clone(), Bytes::from_static(ZERO)),
    }
}

pub(super) fn lease(id: i64) -> Option<LeaseId> {
    (id != 0).then_some(LeaseId(id))
}

pub(super) fn lease_number(lease: Option<LeaseId>) -> i64 {
    lease.map_or(0, |lease| lease.0)
}

impl From<Record> for wire::KeyValue {
    fn from(record: Record) -> Self {
        wire::KeyValue {
            key: record.key,
            create_revision: record.created.0,
            mod_revision: record.modified.0,
            version: record.version,
            value: record.value,
            lease: lease_number(record.lease),
        }
    }
}

impl From<wire::KeyValue> for Record {
    fn from(kv: wire::KeyValue) -> Self {
        Record {
            key: kv.key,
            value: kv.value,
            created: Revision(kv.create_revision),
            modified: Revision(kv.mod_revision),
            version: kv.version,
            lease: lease(kv.lease),
        }
    }
}

impl From<Change> for wire::Event {
    fn from(change: Change) -> Self {
        wire::Event {
            kind: i32::from(change.record.is_deletion()),
            kv: Some(change.record.into()),
            prev_kv: change.previous.map(Into::into),
        }
    }
}

impl From<wire::Event> for Change {
    fn from(event: wire::Event) -> Self {
        let mut record: Record = event.kv.unwrap_or_default().into();
        if event.kind == 1 {
            record.version = 0;
        }
        Change {
            record,
            previous: event.prev_kv.map(Into::into),
        }
    }
}

impl TryFrom<wire::RangeRequest> for Query {
    type Error = Error;

    fn try_from(request: wire::RangeRequest) -> Result<Query> {
        let by = match request.sort_target {
            0 => Field::Key,
            1 => Field::Version,
            2 => Field::Created,
            3 => Field::Modified,
            4 => Field::Value,
            _ => return Err(Error::InvalidOrder),
        };
        let order = match (request.sort_order, by) {
            // The order of keys is that of the store anyway.
            (0 | 1, Field::Key) => None,
            // Naming a field without a direction means upwards.
            (0 | 1, by) => Some(Order {
                by,
                descending: false,
            }),
            (2, by) => Some(Order {
                by,
                descending: true,
            }),
            _ => return Err(Error::InvalidOrder),
        };
        Ok(Query {
            keys: keys(request.key, request.range_end),
            revision: (request.revision > 0).then_some(Revision(request.revision)),
            limit: usize::try_from(request.limit).unwrap_or(0),
            order,
            keys_only: request.keys_only,
            count_only: request.count_only,
            within: Within {
                modified_min: Revision(request.min_mod_revision),
                modified_max: Revision(request.max_mod_revision),
                created_min: Revision(request.min_create_revision),
                created_max: Revision(request.max_create_revision),
            },
        })
    }
}

impl From<Query> for wire::RangeRequest {
    fn from(query: Query) -> Self {
        let (key, range_end) = bounds(&query.keys);
        let (sort_order, sort_target) = match query.order {
            None => (0, 0),
            Some(order) => {
                let target = match order.by {
                    Field::Key => 0,
                    Field::Version => 1,
                    Field::Created => 2,
                    Field::Modified => 3,
                    Field::Value => 4,
                };
                (if order.descending { 2 } else { 1 }, target)
            }
        };
        wire::RangeRequest {
            key,
            range_end,
            limit: i64::try_from(query.limit).unwrap_or(i64::MAX),
            revision: query.revision.map_or(0, |revision| revision.0),
            sort_order,
            sort_target,
            serializable: false,
            keys_only: query.keys_only,
            count_only: query.count_only,
            min_mod_revision: query.within.modified_min.0,
            max_mod_revision: query.within.modified_max.0,
            min_create_revision: query.within.created_min.0,
            max_create_revision: query.within.created_max.0,
        }
    }
}

impl TryFrom<wire::PutRequest> for Put {
    type Error = Error;

    fn try_from(request: wire::PutRequest) -> Result<Put> {
        if request.ignore_value && !request.value.is_empty() {
            return Err(Error::ValueGiven);
        }
        if request.ignore_lease && request.lease != 0 {
            return Err(Error::LeaseGiven);
        }
        Ok(Put {
            key: request.key,
            value: match request.ignore_value {
                true => Written::Keep,
                false => Written::New(request.value),
            },
            lease: match request.ignore_lease {
                true => Written::Keep,
                false => Written::New(lease(request.lease)),
            },
            want_previous: request.prev_kv,
        })
    }
}

impl From<Put> for wire::PutRequest {
    fn from(put: Put) -> Self {
        let ignore_value = put.value == Written::Keep;
        let ignore_lease = put.lease == Written::Keep;
        wire::PutRequest {
            key: put.key,
            value: match put.value {
                Written::New(value) => value,
                Written::Keep => Bytes::new(),
            },
            lease: match put.lease {
                Written::New(lease) => lease_number(lease),
                Written::Keep => 0,
            },
            prev_kv: put.want_previous,
            ignore_value,
            ignore_lease,
        }
    }
}

impl From<wire::DeleteRangeRequest> for Delete {
    fn from(request: wire::DeleteRangeRequest) -> Self {
        Delete {
            keys: keys(request.key, request.range_end),
            want_previous: request.prev_kv,
        }
    }
}

impl From<Delete> for wire::DeleteRangeRequest {
    fn from(delete: Delete) -> Self {
        let (key, range_end) = bounds(&delete.keys);
        wire::DeleteRangeRequest {
            key,
            range_end,
            prev_kv: delete.want_previous,
        }
    }
}

impl From<WatchSpec> for wire::WatchCreate {
    fn from(spec: WatchSpec) -> Self {
        let (key, range_end) = bounds(&spec.keys);
        let filters = [(spec.without_puts, 0), (spec.without_deletions, 1)];
        wire::WatchCreate {
            key,
            range_end,
            start_revision: spec.since.map_or(0, |since| since.0),
            progress_notify: false,
            filters: filters
                .into_iter()
                .filter_map(|(on, number)| on.then_some(number))
                .collect(),
            prev_kv: spec.want_previous,
            watch_id: 0,
            fragment: true,
        }
    }
}

impl From<&wire::WatchCreate> for WatchSpec {
    fn from(create: &wire::WatchCreate) -> Self {
        // Unlike other requests, a watch may leave the key out.
        let key = match &create.key[..] {
            [] => Bytes::from_static(ZERO),
            _ => create.key.clone(),
        };
        WatchSpec {
            keys: keys(key, create.range_end.clone()),
            since: (create.start_revision > 0).then_some(Revision(create.start_revision)),
            want_previous: create.prev_kv,
            without_puts: create.filters.contains(&0),
            without_deletions: create.filters.contains(&1),
        }
    }
}

impl From<Page> for wire::RangeResponse {
    fn from(page: Page) -> Self {
        wire::RangeResponse {
            header: None,
            kvs: page.records.into_iter().map(Into::into).collect(),
            more: page.more,
            count: page.count as i64,
        }
    }
}

impl From<PutAnswer> for wire::PutResponse {
    fn from(answer: PutAnswer) -> Self {
        wire::PutResponse {
            header: None,
            prev_kv: answer.previous.map(Into::into),
        }
    }
}

impl From<DeleteAnswer> for wire::DeleteRangeResponse {
    fn from(answer: DeleteAnswer) -> Self {
        wire::DeleteRangeResponse {
            header: None,
            deleted: answer.deleted as i64,
            prev_kvs: answer.previous.into_iter().map(Into::into).collect(),
        }
    }
}

pub(super) fn revision(header: Option<&wire::Header>) -> Revision {
    Revision(header.map_or(0, |header| header.revision))
}

impl From<wire::RangeResponse> for Page {
    fn from(response: wire::RangeResponse) -> Self {
        Page {
            revision: revision(response.header.as_ref()),
            records: response.kvs.into_iter().map(Into::into).collect(),
            more: response.more,
            count: usize::try_from(response.count).unwrap_or(0),
        }
    }
}

impl From<wire::PutResponse> for PutAnswer {
    fn from(response: wire::PutResponse) -> Self {
        PutAnswer {
            revision: revision(response.header.as_ref()),
            previous: response.prev_kv.map(Into::into),
        }
    }
}

impl From<wire::DeleteRangeResponse> for DeleteAnswer {
    fn from(response: wire::DeleteRangeResponse) -> Self {
        DeleteAnswer {
            revision: revision(response.header.as_ref()),
            deleted: usize::try_from(response.deleted).unwrap_or(0),
            previous: response.prev_kvs.into_iter().map(Into::into).collect(),
        }
    }
}

/// Whole seconds, as the protocol has them; a part of one counts as one.
pub fn seconds(ttl: Duration) -> i64 {
    let more = i64::from(ttl.subsec_nanos() > 0);
    i64::try_from(ttl.as_secs()).map_or(i64::MAX, |seconds| seconds.saturating_add(more))
}
