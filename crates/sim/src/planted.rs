//! Bugs planted between the parts, to see that the checks see them: letters and events that are told wrongly.

use tombolo_clustermesh::Answer;
use tombolo_kvstore::{Change, Keys, Page, Record, Revision};
use tombolo_model::record::{Key, Resource, Tree};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Readers believe that all canaries are there from the beginning.
    NoCanaries,
    /// An agent takes a peer that it can't reach for one that has nothing.
    GoneWhenUnreachable,
    /// A batch of changes is told after the one that follows it.
    Reordered,
    /// The number of a peer that was removed stays reserved.
    IdKept,
    /// A list ends with its first page.
    HalfList,
    /// Deletions are not told.
    LostDeletions,
    /// Changes are told twice, the second time after newer ones.
    Repeated,
    /// A writer's requests don't say which of its tries they belong to.
    Unfenced,
    /// A record's identity is another cluster's.
    WrongIdentity,
    /// Those who tell a copier don't wait until it has written.
    NoBackpressure,
}

impl Planted {
    /// What a reader is told instead of an answer.
    pub(crate) fn twist(self, asked: Option<&Keys>, answer: Answer) -> Answer {
        match (self, answer) {
            (Planted::NoCanaries, Answer::Page(page, next)) => match asked.and_then(cluster) {
                Some(cluster) => Answer::Page(canaries(&cluster, page), None),
                None => Answer::Page(page, next),
            },
            (Planted::HalfList, Answer::Page(page, _)) => Answer::Page(page, None),
            (Planted::LostDeletions, Answer::Changes(changes)) => {
                let kept = changes.into_iter();
                let kept = kept.filter(|change: &Change| !change.record.is_deletion());
                Answer::Changes(kept.collect())
            }
            (_, answer) => answer,
        }
    }
}

/// Whose canaries these are.
fn cluster(keys: &Keys) -> Option<String> {
    let prefix = std::str::from_utf8(keys.as_prefix()?).ok()?;
    let cluster = prefix.strip_prefix("cilium/synced/")?;
    Some(cluster.trim_end_matches('/').to_owned())
}

fn canaries(cluster: &str, page: Page) -> Page {
    let both = [Tree::State, Tree::Cache];
    let all = both.into_iter().flat_map(|tree| {
        Resource::ALL.map(|resource| Key::Synced {
            cluster: cluster.to_owned(),
            tree,
            resource,
        })
    });
    let records = all.map(|key| Record {
        key: key.to_string().into(),
        version: 1,
        modified: Revision(1),
        ..Record::default()
    });
    Page {
        records: records.collect(),
        ..page
    }
}
