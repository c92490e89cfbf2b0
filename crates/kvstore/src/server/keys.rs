//! The KV service.

use prost::Message;

use super::{Service, dispatch::REQUEST_BYTES_MAX};
use crate::{
    access::Need,
    error::{Error, Result},
    record::{Delete, Put, Query, Revision, Transaction},
    wire::{self, HeaderOnly},
};

impl Service {
    pub(super) fn range(
        &self,
        user: Option<&str>,
        request: wire::RangeRequest,
    ) -> Result<wire::RangeResponse> {
        let query = Query::try_from(request)?;
        self.require_for_query(user, &query)?;
        let page = self.memory.with(|mvcc, _| mvcc.query(&query))?;
        Ok(wire::RangeResponse {
            header: self.header(page.revision),
            ..page.into()
        })
    }

    pub(super) fn put(
        &self,
        user: Option<&str>,
        request: wire::PutRequest,
    ) -> Result<wire::PutResponse> {
        limit(&request)?;
        let put = Put::try_from(request)?;
        self.require_for_put(user, &put)?;
        let answer = self.memory.at(self.now(), |mvcc, now| mvcc.put(put, now))?;
        Ok(wire::PutResponse {
            header: self.header(answer.revision),
            ..answer.into()
        })
    }

    pub(super) fn delete_range(
        &self,
        user: Option<&str>,
        request: wire::DeleteRangeRequest,
    ) -> Result<wire::DeleteRangeResponse> {
        let delete = Delete::from(request);
        self.require_for_delete(user, &delete)?;
        let answer = self
            .memory
            .at(self.now(), |mvcc, now| mvcc.delete(delete, now))?;
        Ok(wire::DeleteRangeResponse {
            header: self.header(answer.revision),
            ..answer.into()
        })
    }

    pub(super) fn txn(
        &self,
        user: Option<&str>,
        request: wire::TxnRequest,
    ) -> Result<wire::TxnResponse> {
        limit(&request)?;
        let transaction = Transaction::try_from(request)?;
        self.require_for_all(user, &transaction)?;
        let answer = self
            .memory
            .at(self.now(), |mvcc, now| mvcc.transact(transaction, now))?;
        Ok(wire::TxnResponse {
            header: self.header(answer.revision),
            ..answer.into()
        })
    }

    pub(super) fn compact(
        &self,
        user: Option<&str>,
        request: wire::CompactionRequest,
    ) -> Result<HeaderOnly> {
        self.require(user, &Need::Root)?;
        let revision = Revision(request.revision);
        let present = self.memory.with(|mvcc, _| {
            mvcc.compact(revision)?;
            Ok::<_, Error>(mvcc.revision())
        })?;
        Ok(HeaderOnly {
            header: self.header(present),
        })
    }
}

fn limit(request: &impl Message) -> Result<()> {
    let max = REQUEST_BYTES_MAX;
    if request.encoded_len() > max {
        return Err(Error::TooLarge { max });
    }
    Ok(())
}
