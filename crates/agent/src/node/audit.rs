//! What the kernel holds, compared with what it should hold.

use super::NodeLoop;
use crate::restore;
use std::collections::BTreeSet;
use tombolo_model::fact::{EndpointFact, Fact};

impl NodeLoop {
    /// Heals what was lost or changed behind our back.
    pub(super) fn audit(&mut self) {
        let recovered = match self.kernel.datapath.recovered() {
            Ok(recovered) => recovered,
            Err(error) => {
                return tracing::warn!(%error, "the kernel's tables can't be read for comparison");
            }
        };
        match restore::tables(recovered, &self.netlink) {
            Ok(tables) => self.world.audit(tables),
            Err(error) => {
                return tracing::warn!("the kernel's tables can't be compared: {error:#}");
            }
        }
        match self.netlink.links() {
            Ok(links) => {
                let there: BTreeSet<u32> = links.iter().map(|link| link.index).collect();
                let gone =
                    self.world.endpoints().into_iter().filter(|endpoint| {
                        endpoint.ifindex != 0 && !there.contains(&endpoint.ifindex)
                    });
                for endpoint in gone {
                    tracing::info!(endpoint = %endpoint.id, interface = endpoint.host_interface, "its interface is gone, the endpoint is removed");
                    let fact = EndpointFact::InterfaceGone {
                        ifindex: endpoint.ifindex,
                    };
                    drop(self.step(Fact::Endpoint(fact)));
                }
            }
            Err(error) => tracing::warn!(%error, "the node's devices can't be listed"),
        }
        self.drain();
    }
}
