//! Pods: plain network namespaces that the real plugin attaches, as a container runtime would have it do.

use crate::{
    Error,
    error::Result,
    inside, learn,
    plan::{self, NodeId, PODS_MAX, PodId},
    process::beside_own_program,
    state::{Lab, Pod, State},
};
use ipnet::IpNet;
use serde::Deserialize;
use std::net::IpAddr;
use tombolo_model::net::PodAddresses;

pub const PLUGIN: &str = "tombolo-cni";

/// Adds the first pod whose number is free, without telling the other nodes yet.
pub fn attach(lab: &mut Lab, node: NodeId, identity: Option<u32>) -> Result<PodId> {
    lab.machine(node)?;
    let number = (1..=PODS_MAX)
        .find(|number| {
            !lab.pods.contains_key(&PodId {
                node,
                number: *number,
            })
        })
        .ok_or(Error::NodeFull { node })?;
    let id = PodId { node, number };
    let identity = identity.unwrap_or_else(|| plan::identity(lab.cluster_id(node.cluster), id));
    lab.state.containers += 1;
    lab.save()?;
    let container = format!("{id}-{}", lab.containers);
    let result = inside::call(&words(lab, id, &container, identity, "pod-add")?)?;
    let addresses = addresses(&result).map_err(|source| Error::Tool {
        tool: PLUGIN.into(),
        said: format!("its result is malformed: {source}"),
    })?;
    lab.state.pods.insert(
        id,
        Pod {
            container,
            identity,
            addresses,
        },
    );
    lab.save()?;
    Ok(id)
}

pub fn add(lab: &mut Lab, node: NodeId, identity: Option<u32>) -> Result<PodId> {
    let id = attach(lab, node, identity)?;
    learn::tell(lab, node)?;
    Ok(id)
}

/// Detaches a pod, without telling the other nodes yet.
pub fn detach(lab: &mut Lab, id: PodId) -> Result<()> {
    let pod = lab.pod(id)?.clone();
    let words = words(lab, id, &pod.container, pod.identity, "pod-delete")?;
    inside::call(&words)?;
    lab.state.pods.remove(&id);
    lab.save()
}

pub fn delete(lab: &mut Lab, id: PodId) -> Result<()> {
    detach(lab, id)?;
    learn::tell(lab, id.node)
}

/// The command that does a runtime's work in the node.
fn words(
    lab: &State,
    pod: PodId,
    container: &str,
    identity: u32,
    verb: &str,
) -> Result<Vec<String>> {
    let plugin = beside_own_program(PLUGIN)?.display().to_string();
    let (pod_name, identity) = (pod.to_string(), identity.to_string());
    let words = ["lab", verb, &pod_name, container, &identity, &plugin];
    lab.words_in(pod.node, &words)
}

/// The pod's addresses, out of the plugin's result.
fn addresses(result: &[u8]) -> serde_json::Result<PodAddresses> {
    #[derive(Deserialize)]
    struct PluginResult {
        ips: Vec<PluginAddress>,
    }
    #[derive(Deserialize)]
    struct PluginAddress {
        address: IpNet,
    }
    let result: PluginResult = serde_json::from_slice(result)?;
    let mut addresses = PodAddresses::default();
    for ip in result.ips {
        match ip.address.addr() {
            IpAddr::V4(v4) => addresses.v4 = Some(v4),
            IpAddr::V6(v6) => addresses.v6 = Some(v6),
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_the_plugins_result() {
        let result = br#"{"cniVersion":"1.1.0","interfaces":[{"name":"eth0"}],"ips":[
            {"address":"10.1.1.2/32","gateway":"10.1.1.1","interface":1},
            {"address":"fd00:10:1:1::2/128","gateway":"fd00:10:1:1::1","interface":1}],"routes":[]}"#;
        let expected = PodAddresses {
            v4: Some([10, 1, 1, 2].into()),
            v6: Some([0xfd00, 0x10, 1, 1, 0, 0, 0, 2].into()),
        };
        assert_eq!(addresses(result).unwrap(), expected);
        assert!(addresses(b"{}").is_err());
    }
}
