//! The kinds of objects that are asked for, as the API server calls them.

use std::fmt;

use super::ObjectName;
use crate::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Empty for the oldest ones.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    /// Plural, in small letters: as it stands in paths and in roles.
    pub resource: &'static str,
    pub namespaced: bool,
}

const CILIUM: &str = "cilium.io";

impl Api {
    pub const NAMESPACES: Api = core("Namespace", "namespaces", false);
    pub const NODES: Api = core("Node", "nodes", false);
    pub const PODS: Api = core("Pod", "pods", true);
    pub const SERVICES: Api = core("Service", "services", true);
    pub const SECRETS: Api = core("Secret", "secrets", true);
    pub const CONFIG_MAPS: Api = core("ConfigMap", "configmaps", true);
    pub const ENDPOINT_SLICES: Api = grouped(
        "discovery.k8s.io",
        "v1",
        "EndpointSlice",
        "endpointslices",
        true,
    );
    pub const LEASES: Api = grouped("coordination.k8s.io", "v1", "Lease", "leases", true);
    pub const EVENTS: Api = grouped("events.k8s.io", "v1", "Event", "events", true);
    pub const DEPLOYMENTS: Api = grouped("apps", "v1", "Deployment", "deployments", true);
    pub const DAEMON_SETS: Api = grouped("apps", "v1", "DaemonSet", "daemonsets", true);
    pub const CUSTOM_RESOURCES: Api = grouped(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        false,
    );
    pub const SERVICE_CIDRS: Api = grouped(
        "networking.k8s.io",
        "v1",
        "ServiceCIDR",
        "servicecidrs",
        false,
    );
    pub const SERVICE_EXPORTS: Api = grouped(
        "multicluster.x-k8s.io",
        "v1alpha1",
        "ServiceExport",
        "serviceexports",
        true,
    );
    pub const CILIUM_NODES: Api = grouped(CILIUM, "v2", "CiliumNode", "ciliumnodes", false);
    pub const CILIUM_IDENTITIES: Api =
        grouped(CILIUM, "v2", "CiliumIdentity", "ciliumidentities", false);
    pub const CILIUM_ENDPOINTS: Api =
        grouped(CILIUM, "v2", "CiliumEndpoint", "ciliumendpoints", true);
    pub const CLUSTER_MESHES: Api =
        grouped(CILIUM, "v2alpha1", "ClusterMesh", "clustermeshes", false);

    /// Those that peers are told of.
    pub fn of(kind: Kind) -> Api {
        match kind {
            Kind::Namespace => Api::NAMESPACES,
            Kind::CiliumNode => Api::CILIUM_NODES,
            Kind::CiliumIdentity => Api::CILIUM_IDENTITIES,
            Kind::CiliumEndpoint => Api::CILIUM_ENDPOINTS,
            Kind::Service => Api::SERVICES,
            Kind::EndpointSlice => Api::ENDPOINT_SLICES,
            Kind::ServiceExport => Api::SERVICE_EXPORTS,
        }
    }

    /// As objects name it.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The path of all that is in the namespace; of all namespaces where it is empty.
    pub(super) fn path(&self, namespace: &str) -> String {
        let root = match self.group {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        match namespace {
            namespace if self.namespaced && !namespace.is_empty() => {
                format!("{root}/namespaces/{namespace}/{}", self.resource)
            }
            _ => format!("{root}/{}", self.resource),
        }
    }

    pub fn name(&self, namespace: &str, name: &str) -> ObjectName {
        ObjectName {
            namespace: match self.namespaced {
                true => namespace.to_owned(),
                false => String::new(),
            },
            name: name.to_owned(),
        }
    }
}

/// As roles name it: `ciliumnodes.cilium.io`, `pods`.
impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group {
            "" => f.write_str(self.resource),
            group => write!(f, "{}.{group}", self.resource),
        }
    }
}

const fn core(kind: &'static str, resource: &'static str, namespaced: bool) -> Api {
    grouped("", "v1", kind, resource, namespaced)
}

const fn grouped(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    resource: &'static str,
    namespaced: bool,
) -> Api {
    Api {
        group,
        version,
        kind,
        resource,
        namespaced,
    }
}
