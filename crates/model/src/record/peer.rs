//! Reading the records of one cluster, believing of them only what that cluster may say.

use super::{
    Address, AddressName, EndpointSlice, Labels, Name, Namespaced, Node, RecordError, RecordKey,
    Service, ServiceExport, error::shorten,
};
use crate::id::{ClusterId, Identity};
use std::ops::RangeInclusive;

/// A cluster as its config tells of it and as ours names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub cluster: String,
    pub id: ClusterId,
    /// How many clusters the mesh may have: 255 or 511.
    pub clusters_max: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Node(Box<Node>),
    Identity(Identity, Labels),
    Address(Box<Address>),
    Service(Box<Service>),
    EndpointSlice(Box<EndpointSlice>),
    ServiceExport(Box<ServiceExport>),
}

impl Peer {
    /// The identities that it gives.
    pub fn identities(&self) -> RangeInclusive<Identity> {
        self.id
            .identities(if self.clusters_max == 511 { 15 } else { 16 })
    }

    /// The record at a key, if it is what this cluster may write there.
    pub fn read(&self, key: &RecordKey, value: &[u8]) -> Result<Record, RecordError> {
        if let Some(cluster) = key.cluster() {
            self.check_cluster(cluster)?;
        }
        let max = key.name().resource().value_len_max();
        if value.len() > max {
            return Err(RecordError::TooLong {
                len: value.len(),
                max,
            });
        }
        match key.name() {
            Name::Node(name) => self.node(name, value),
            Name::Identity(identity) => self.identity(*identity, value),
            Name::Address(name) => self.address(*name, value),
            Name::Service(name) => self.service(name, value),
            Name::EndpointSlice(name) => self.endpoint_slice(name, value),
            Name::ServiceExport(name) => self.service_export(name, value),
        }
    }

    fn node(&self, name: &str, value: &[u8]) -> Result<Record, RecordError> {
        let node = Node::decode(value)?;
        self.check_cluster(&node.cluster)?;
        self.check_id(node.cluster_id)?;
        agree(name, &node.name, "name")?;
        Ok(Record::Node(Box::new(node)))
    }

    fn identity(&self, identity: Identity, value: &[u8]) -> Result<Record, RecordError> {
        let labels = Labels::decode(value)?;
        self.check_identity(identity)?;
        match labels.cluster() {
            Some(cluster) => self.check_cluster(cluster)?,
            None => {
                return Err(RecordError::Missing {
                    field: "label k8s:io.cilium.k8s.policy.cluster",
                });
            }
        }
        Ok(Record::Identity(identity, labels))
    }

    fn address(&self, name: AddressName, value: &[u8]) -> Result<Record, RecordError> {
        let address = Address::decode(value)?;
        if name != address.name {
            return Err(RecordError::KeyDisagrees {
                key: name.to_string(),
                value: address.name.to_string(),
            });
        }
        let identity = Identity(address.identity);
        if !identity.is_reserved() {
            self.check_identity(identity)?;
        }
        if address.host.is_none() {
            return Err(RecordError::Missing { field: "HostIP" });
        }
        Ok(Record::Address(Box::new(address)))
    }

    fn service(&self, name: &Namespaced, value: &[u8]) -> Result<Record, RecordError> {
        let service = Service::decode(value)?;
        self.check_cluster(&service.cluster)?;
        self.check_id(service.cluster_id)?;
        agree_namespaced(name, &service.namespace, &service.name)?;
        Ok(Record::Service(Box::new(service)))
    }

    fn endpoint_slice(&self, name: &Namespaced, value: &[u8]) -> Result<Record, RecordError> {
        let slice = EndpointSlice::decode(value)?;
        self.check_cluster(&slice.cluster)?;
        self.check_id(slice.cluster_id)?;
        agree_namespaced(name, &slice.namespace, &slice.name)?;
        Ok(Record::EndpointSlice(Box::new(slice)))
    }

    fn service_export(&self, name: &Namespaced, value: &[u8]) -> Result<Record, RecordError> {
        let export = ServiceExport::decode(value)?;
        self.check_cluster(&export.cluster)?;
        agree_namespaced(name, &export.namespace, &export.name)?;
        Ok(Record::ServiceExport(Box::new(export)))
    }

    fn check_cluster(&self, cluster: &str) -> Result<(), RecordError> {
        if cluster.is_empty() {
            return Err(RecordError::Missing { field: "cluster" });
        }
        if cluster != self.cluster {
            return Err(RecordError::ClusterName {
                found: shorten(cluster),
                expected: self.cluster.clone(),
            });
        }
        Ok(())
    }

    fn check_id(&self, id: u32) -> Result<(), RecordError> {
        if id != u32::from(self.id.0) {
            return Err(RecordError::ClusterId {
                found: id,
                cluster: self.cluster.clone(),
                expected: self.id,
            });
        }
        Ok(())
    }

    fn check_identity(&self, identity: Identity) -> Result<(), RecordError> {
        let identities = self.identities();
        if !identities.contains(&identity) {
            return Err(RecordError::IdentityOutOfRange {
                identity: identity.0,
                cluster: self.cluster.clone(),
                first: *identities.start(),
                last: *identities.end(),
            });
        }
        Ok(())
    }
}

fn agree(key: &str, value: &str, field: &'static str) -> Result<(), RecordError> {
    if value.is_empty() {
        return Err(RecordError::Missing { field });
    }
    if key != value {
        return Err(RecordError::KeyDisagrees {
            key: shorten(key),
            value: shorten(value),
        });
    }
    Ok(())
}

fn agree_namespaced(key: &Namespaced, namespace: &str, name: &str) -> Result<(), RecordError> {
    agree(&key.namespace, namespace, "namespace")?;
    agree(&key.name, name, "name")
}
