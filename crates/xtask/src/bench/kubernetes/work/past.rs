//! Revisions that the store has compacted: whoever asks for them is told so, and how to go on.

use anyhow::{Context as _, Result, ensure};

use super::{MAPS, Outcome, wait_until, without_varying};
use crate::bench::kubernetes::plane::Plane;

/// What was read before the compaction.
pub struct Past {
    revision: String,
    token: String,
}

impl Past {
    pub fn remember(plane: &Plane) -> Result<Past> {
        let page = plane.direct.value(&format!("{MAPS}?limit=1"))?;
        let text = |name: &str| page["metadata"][name].as_str().map(str::to_owned);
        Ok(Past {
            revision: text("resourceVersion").context("a list without a revision")?,
            token: text("continue").context("a page of one without a next")?,
        })
    }

    /// API servers have the store compacted by and by.
    pub fn is_gone(&self, plane: &Plane, outcome: &mut Outcome) -> Result<()> {
        let words = ["get", "/", "--prefix", "--limit=1", "--rev", &self.revision];
        wait_until("the store has compacted what was read", || {
            Ok(plane
                .etcdctl(&words)?
                .contains("required revision has been compacted"))
        })?;
        let exact = format!("{MAPS}?resourceVersionMatch=Exact&limit=1&resourceVersion=");
        for (step, path) in [
            ("a list of the past", format!("{exact}{}", self.revision)),
            (
                "the next page of the past",
                format!("{MAPS}?limit=1&continue={}", self.token),
            ),
        ] {
            let output = plane.direct.try_run(&["get", "--raw", &path])?;
            ensure!(!output.status.success(), "{step} is given");
            let said = String::from_utf8_lossy(&output.stderr);
            outcome.saw(step, without_varying(plane, &said));
        }
        Ok(())
    }
}
