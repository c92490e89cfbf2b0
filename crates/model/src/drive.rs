//! From a fact to the kernel in one synchronous step.

use crate::{
    change::Change,
    endpoint::EndpointRecord,
    fact::{EndpointFact, Fact},
    id::EndpointId,
    local::{Failure, FailureCode},
    tables::Tables,
    world::{Answer, World},
};
use std::{collections::BTreeMap, convert::Infallible, fmt::Display, time::Duration};

/// How many changes are put off at most.
const PUT_OFF_MAX: usize = 4096;

/// What changes are applied to: the kernel, or a recorder.
pub trait Datapath {
    type Error: Display;

    fn apply(&mut self, change: &Change) -> Result<(), Self::Error>;
    /// As `apply`, for one of many [small](Change::is_small) changes: it may be done no sooner than at the next `settle`.
    fn put_off(&mut self, change: &Change) -> Result<(), Self::Error> {
        self.apply(change)
    }
    /// Does what was put off. When that fails, any of it may be done or not.
    fn settle(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
    /// Keeps what must outlive the agent; asked before an endpoint is set.
    fn remember(&mut self, record: &EndpointRecord) -> Result<(), Self::Error>;
    /// Asked after an endpoint has gone.
    fn forget(&mut self, id: EndpointId) -> Result<(), Self::Error>;
}

/// A change that was not applied. It is tried again, later each time, for as long as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub change: Change,
    pub error: String,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub answer: Result<Answer, Failure>,
    pub refused: Vec<Refused>,
}

/// Handles a fact and hands what follows from it to the datapath.
pub fn step<D: Datapath>(world: &mut World, datapath: &mut D, fact: Fact, now: Duration) -> Step {
    let attaching = matches!(fact, Fact::Endpoint(EndpointFact::Attach { .. }));
    let mut answer = world.handle(fact, now);
    let mut refused = drain(world, datapath, now);
    if let (true, Ok(Answer::Endpoint(endpoint))) = (attaching, &answer)
        && let Some(cause) = refused
            .iter()
            .find(|refused| concerns(&refused.change, endpoint.id, world))
    {
        let failure = Failure {
            code: FailureCode::Kernel,
            message: format!(
                "the kernel refused endpoint {}: {}",
                endpoint.id, cause.error
            ),
            hint: "see the agent's log; the runtime may try again".into(),
        };
        world.detach(endpoint.id, now);
        refused.extend(drain(world, datapath, now));
        answer = Err(failure);
    }
    Step { answer, refused }
}

/// Lets time pass: reservations end, what was refused is tried again.
pub fn wake<D: Datapath>(world: &mut World, datapath: &mut D, now: Duration) -> Vec<Refused> {
    world.handle_timeout(now);
    drain(world, datapath, now)
}

/// Hands all changes that are due to the datapath.
pub fn drain<D: Datapath>(world: &mut World, datapath: &mut D, now: Duration) -> Vec<Refused> {
    let mut refused = Vec::new();
    let mut refuse = |world: &mut World, change: Change, error: &D::Error| {
        world.refused(&change, now);
        let error = error.to_string();
        refused.push(Refused { change, error });
    };
    let mut put_off = Vec::new();
    loop {
        let next = world.poll_change();
        let waits = next.as_ref().is_some_and(Change::is_small) && put_off.len() < PUT_OFF_MAX;
        if !put_off.is_empty() && !waits {
            if let Err(error) = datapath.settle() {
                let all = put_off.drain(..);
                all.for_each(|change| refuse(world, change, &error));
                // Others may be due now.
                continue;
            }
            put_off.clear();
        }
        let Some(change) = next else { break };
        match apply(world, datapath, &change) {
            Ok(()) => {
                world.applied(&change);
                put_off.extend(Some(change).filter(Change::is_small));
            }
            Err(error) => refuse(world, change, &error),
        }
    }
    refused
}

fn apply<D: Datapath>(world: &World, datapath: &mut D, change: &Change) -> Result<(), D::Error> {
    if change.is_small() {
        return datapath.put_off(change);
    }
    if let Change::EndpointSet(id, _) = change
        && let Some(record) = world.record(*id)
    {
        datapath.remember(record)?;
    }
    datapath.apply(change)?;
    if let Change::EndpointGone(id) = change {
        datapath.forget(*id)?;
    }
    Ok(())
}

fn concerns(change: &Change, endpoint: EndpointId, world: &World) -> bool {
    match change {
        Change::PolicySet(id, _) | Change::EndpointSet(id, _) => *id == endpoint,
        Change::AddressSet(prefix, _) => world.record(endpoint).is_some_and(|record| {
            record
                .addresses
                .iter()
                .any(|address| *prefix == address.into())
        }),
        _ => false,
    }
}

/// A datapath that is memory: what it holds, what it was told in which order, and what it remembers.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    pub tables: Tables,
    pub log: Vec<Change>,
    pub records: BTreeMap<EndpointId, EndpointRecord>,
}

impl Datapath for Recorder {
    type Error = Infallible;

    fn apply(&mut self, change: &Change) -> Result<(), Infallible> {
        self.tables.apply(change);
        self.log.push(change.clone());
        Ok(())
    }

    fn remember(&mut self, record: &EndpointRecord) -> Result<(), Infallible> {
        self.records.insert(record.id, record.clone());
        Ok(())
    }

    fn forget(&mut self, id: EndpointId) -> Result<(), Infallible> {
        self.records.remove(&id);
        Ok(())
    }
}
