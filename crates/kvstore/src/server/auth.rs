//! What each request needs, and whether its user has it.

use super::Service;
use crate::{
    access::{Need, Right},
    error::{Error, Result},
    key::Keys,
    record::{Delete, LeaseId, Operation, Put, Query, Transaction},
    wire,
};

impl Service {
    pub(super) fn require(&self, user: Option<&str>, need: &Need) -> Result<()> {
        match &self.access {
            Some(access) if !access.borrow().permits(user, need) => Err(Error::Denied),
            _ => Ok(()),
        }
    }

    pub(super) fn require_for_query(&self, user: Option<&str>, query: &Query) -> Result<()> {
        self.require(user, &Need::Keys(query.keys.clone(), Right::Read))
    }

    pub(super) fn require_for_put(&self, user: Option<&str>, put: &Put) -> Result<()> {
        self.require_for_write(user, Keys::One(put.key.clone()), put.want_previous)
    }

    pub(super) fn require_for_delete(&self, user: Option<&str>, delete: &Delete) -> Result<()> {
        self.require_for_write(user, delete.keys.clone(), delete.want_previous)
    }

    /// What was there before is told to readers only.
    fn require_for_write(&self, user: Option<&str>, keys: Keys, previous: bool) -> Result<()> {
        if previous {
            self.require(user, &Need::Keys(keys.clone(), Right::Read))?;
        }
        self.require(user, &Need::Keys(keys, Right::Write))
    }

    pub(super) fn require_for_all(
        &self,
        user: Option<&str>,
        transaction: &Transaction,
    ) -> Result<()> {
        for compare in &transaction.compares {
            self.require(user, &Need::Keys(compare.keys.clone(), Right::Read))?;
        }
        for operation in transaction.then.iter().chain(&transaction.otherwise) {
            match operation {
                Operation::Query(query) => self.require_for_query(user, query)?,
                Operation::Put(put) => self.require_for_put(user, put)?,
                Operation::Delete(delete) => self.require_for_delete(user, delete)?,
                Operation::Transaction(inner) => self.require_for_all(user, inner)?,
            }
        }
        Ok(())
    }

    /// Of all keys that hang on the lease.
    pub(super) fn require_for_lease(
        &self,
        user: Option<&str>,
        lease: LeaseId,
        right: Right,
    ) -> Result<()> {
        if self.access.is_none() {
            return Ok(());
        }
        let keys = self.memory.with(|mvcc, _| mvcc.lease(lease));
        for key in keys.map(|status| status.keys).unwrap_or_default() {
            self.require(user, &Need::Keys(Keys::One(key), right))?;
        }
        Ok(())
    }

    pub(super) fn auth_status(
        &self,
        _user: Option<&str>,
        _request: wire::Empty,
    ) -> Result<wire::AuthStatusResponse> {
        Ok(wire::AuthStatusResponse {
            header: self.present_header(),
            enabled: self.access.is_some(),
            auth_revision: 1,
        })
    }
}
