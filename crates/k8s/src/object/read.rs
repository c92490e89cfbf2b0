//! From a manifest or the object of a watch event to the key and the slim object.

use serde::Deserialize;

use super::{
    Kind, Object, ObjectKey,
    endpoint::CiliumEndpoint,
    export::ServiceExport,
    form::{Fault, Source, or_default},
    identity::CiliumIdentity,
    namespace::Namespace,
    node::CiliumNode,
    service::Service,
    slice::EndpointSlice,
};

const NAME_LEN_MAX: usize = 253;
/// Where objects are that don't say it, as for kubectl.
const DEFAULT_NAMESPACE: &str = "default";

/// What every object says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Head {
    #[serde(deserialize_with = "or_default")]
    pub(crate) api_version: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) kind: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) metadata: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Meta {
    #[serde(deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) namespace: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) resource_version: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) uid: String,
}

impl Head {
    pub(crate) fn kind(&self) -> Option<Kind> {
        Kind::of(&self.api_version, &self.kind)
    }
}

/// Which object it is. Names are part of keys in the mesh's store, so none may look like several.
pub(crate) fn key(kind: Kind, head: Head) -> Result<ObjectKey, Fault> {
    let Meta {
        name, namespace, ..
    } = head.metadata;
    let namespace = match (kind.is_namespaced(), namespace) {
        (false, _) => String::new(),
        (true, namespace) if namespace.is_empty() => DEFAULT_NAMESPACE.to_owned(),
        (true, namespace) => namespace,
    };
    if name.is_empty() {
        return Err(Fault::new("metadata.name", "it is missing"));
    }
    let wrong = |path, text: &str| Err(Fault::new(path, format!("it is not a name: `{text}`")));
    if !is_name(&name) {
        return wrong("metadata.name", &name);
    }
    if !namespace.is_empty() && !is_name(&namespace) {
        return wrong("metadata.namespace", &namespace);
    }
    Ok(ObjectKey {
        kind,
        namespace,
        name,
    })
}

pub(crate) fn object(key: &ObjectKey, source: &impl Source) -> Result<Object, Fault> {
    Ok(match key.kind {
        Kind::Namespace => Object::Namespace(Namespace::read(source)?),
        Kind::CiliumNode => Object::CiliumNode(Box::new(CiliumNode::read(source)?)),
        Kind::CiliumIdentity => Object::CiliumIdentity(CiliumIdentity::read(&key.name, source)?),
        Kind::CiliumEndpoint => Object::CiliumEndpoint(CiliumEndpoint::read(source)?),
        Kind::Service => Object::Service(Box::new(Service::read(source)?)),
        Kind::EndpointSlice => Object::EndpointSlice(Box::new(EndpointSlice::read(source)?)),
        Kind::ServiceExport => Object::ServiceExport(Box::new(ServiceExport::read(source)?)),
    })
}

/// As Kubernetes names objects: parts of small letters, digits and hyphens, with dots between.
fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let part = |part: &str| {
        let (first, last) = (part.bytes().next(), part.bytes().last());
        first.is_some_and(plain)
            && last.is_some_and(plain)
            && part.bytes().all(|b| plain(b) || b == b'-')
    };
    text.len() <= NAME_LEN_MAX && text.split('.').all(part)
}
