//! How those of other clusters do that this node leads to, as its status tells of them.

use super::NodeLoop;
use tombolo_model::{
    health::Tallies,
    id::ClusterId,
    local::{BackendsStatus, PathStatus},
};

impl NodeLoop {
    /// How the nodes of a cluster do, and its backends.
    pub(super) fn path(&self, cluster: ClusterId, tallies: Tallies) -> PathStatus {
        let Tallies { nodes, backends } = tallies;
        let since = self.world.silence().clusters.get(&cluster);
        let silent = since.map(|since| self.now().saturating_sub(*since).as_secs_f64());
        PathStatus {
            nodes: nodes.asked,
            answering: nodes.well,
            suspect: nodes.suspect,
            silent: nodes.down,
            unknown: nodes.unknown,
            silent_seconds: silent,
            backends: BackendsStatus {
                asked: backends.asked,
                answering: backends.well,
                suspect: backends.suspect,
                silent: backends.down,
                unknown: backends.unknown,
            },
        }
    }
}
