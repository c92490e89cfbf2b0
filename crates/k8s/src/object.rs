//! Kubernetes' objects, of each no more than what peers are told of; whatever else they hold is passed over.
//!
//! Names are not in the objects: they are the keys under which these are kept.

mod endpoint;
mod export;
mod form;
mod identity;
mod namespace;
mod node;
mod read;
mod service;
mod slice;
#[cfg(test)]
mod tests;

use std::fmt;

pub use endpoint::{CiliumEndpoint, NamedPort};
pub use export::ServiceExport;
pub use identity::CiliumIdentity;
pub use namespace::Namespace;
pub use node::{CiliumNode, NodeAddress};
pub use service::{Service, ServicePort, ServiceType};
pub use slice::{EndpointSlice, SliceEndpoint, SlicePort};

pub(crate) use form::{Document, Fault, InLine, Json, Source, Tree, map, read_json, shorten};
pub(crate) use read::{Head, key, object};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Namespace,
    CiliumNode,
    CiliumIdentity,
    CiliumEndpoint,
    Service,
    EndpointSlice,
    ServiceExport,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    pub kind: Kind,
    /// Empty for kinds that are not in namespaces.
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    Namespace(Namespace),
    CiliumNode(Box<CiliumNode>),
    CiliumIdentity(CiliumIdentity),
    CiliumEndpoint(CiliumEndpoint),
    Service(Box<Service>),
    EndpointSlice(Box<EndpointSlice>),
    ServiceExport(Box<ServiceExport>),
}

impl Kind {
    pub const ALL: [Kind; 7] = [
        Kind::Namespace,
        Kind::CiliumNode,
        Kind::CiliumIdentity,
        Kind::CiliumEndpoint,
        Kind::Service,
        Kind::EndpointSlice,
        Kind::ServiceExport,
    ];

    /// None for kinds that nothing is told of, and for versions of which the form is not known.
    pub fn of(api_version: &str, kind: &str) -> Option<Kind> {
        Some(match (api_version, kind) {
            ("v1", "Namespace") => Kind::Namespace,
            ("v1", "Service") => Kind::Service,
            ("cilium.io/v2", "CiliumNode") => Kind::CiliumNode,
            ("cilium.io/v2", "CiliumIdentity") => Kind::CiliumIdentity,
            ("cilium.io/v2", "CiliumEndpoint") => Kind::CiliumEndpoint,
            ("discovery.k8s.io/v1", "EndpointSlice") => Kind::EndpointSlice,
            (
                "multicluster.x-k8s.io/v1alpha1" | "multicluster.x-k8s.io/v1beta1",
                "ServiceExport",
            ) => Kind::ServiceExport,
            _ => return None,
        })
    }

    pub fn word(self) -> &'static str {
        match self {
            Kind::Namespace => "Namespace",
            Kind::CiliumNode => "CiliumNode",
            Kind::CiliumIdentity => "CiliumIdentity",
            Kind::CiliumEndpoint => "CiliumEndpoint",
            Kind::Service => "Service",
            Kind::EndpointSlice => "EndpointSlice",
            Kind::ServiceExport => "ServiceExport",
        }
    }

    pub fn is_namespaced(self) -> bool {
        !matches!(
            self,
            Kind::Namespace | Kind::CiliumNode | Kind::CiliumIdentity
        )
    }
}

impl Object {
    pub fn kind(&self) -> Kind {
        match self {
            Object::Namespace(_) => Kind::Namespace,
            Object::CiliumNode(_) => Kind::CiliumNode,
            Object::CiliumIdentity(_) => Kind::CiliumIdentity,
            Object::CiliumEndpoint(_) => Kind::CiliumEndpoint,
            Object::Service(_) => Kind::Service,
            Object::EndpointSlice(_) => Kind::EndpointSlice,
            Object::ServiceExport(_) => Kind::ServiceExport,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}
