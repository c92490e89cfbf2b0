//! The kernel as what changes are applied to.

use std::fmt;
use tombolo_datapath::{Datapath, Error};
use tombolo_model::{change::Change, drive, endpoint::EndpointRecord, id::EndpointId};

pub struct Kernel {
    pub datapath: Datapath,
}

/// An error with its causes, in one line.
#[derive(Debug)]
pub struct Refusal(String);

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            let said = error.to_string();
            // Some errors say their cause themselves.
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        Refusal(text.lines().collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl drive::Datapath for Kernel {
    type Error = Refusal;

    fn apply(&mut self, change: &Change) -> Result<(), Refusal> {
        tracing::debug!(?change, "apply");
        self.datapath.apply(change).map_err(Refusal::from)
    }

    fn put_off(&mut self, change: &Change) -> Result<(), Refusal> {
        tracing::debug!(?change, "put off");
        self.datapath.put_off(change).map_err(Refusal::from)
    }

    fn settle(&mut self) -> Result<(), Refusal> {
        self.datapath.settle().map_err(Refusal::from)
    }

    fn remember(&mut self, record: &EndpointRecord) -> Result<(), Refusal> {
        let json = serde_json::to_vec(record).expect("a record of plain values is JSON");
        self.datapath
            .remember(record.id, &json)
            .map_err(Refusal::from)
    }

    fn forget(&mut self, id: EndpointId) -> Result<(), Refusal> {
        self.datapath.forget(id).map_err(Refusal::from)
    }
}
