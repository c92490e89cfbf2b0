//! Reading keys. A key is read only if it is written just as we would, so that no two keys tell of the same.

use super::*;
use std::fmt::Write as _;

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Key, KeyError> {
        if text.len() > KEY_LEN_MAX {
            return Err(KeyError::TooLong { len: text.len() });
        }
        if text == "cilium/.heartbeat" {
            return Ok(Key::Heartbeat);
        }
        let below = text
            .strip_prefix("cilium/")
            .and_then(|rest| rest.split_once('/'));
        match below {
            Some(("cluster-config", cluster)) => Ok(Key::ClusterConfig {
                cluster: cluster_name(text, cluster)?,
            }),
            Some(("synced", rest)) => synced(text, rest),
            Some(("state", rest)) => record(text, Tree::State, rest).map(Key::Record),
            Some(("cache", rest)) => record(text, Tree::Cache, rest).map(Key::Record),
            _ => Err(outside(text)),
        }
    }
}

fn synced(text: &str, rest: &str) -> Result<Key, KeyError> {
    let parts: Vec<&str> = rest.splitn(6, '/').collect();
    if let [cluster, "tombolo", "unheard"] = parts[..] {
        let cluster = cluster_name(text, cluster)?;
        return Ok(Key::Unheard { cluster });
    }
    let [cluster, "cilium", tree, resource, "v1"] = parts[..] else {
        return Err(outside(text));
    };
    let tree = [Tree::State, Tree::Cache]
        .into_iter()
        .find(|known| known.word() == tree);
    Ok(Key::Synced {
        cluster: cluster_name(text, cluster)?,
        tree: tree.ok_or_else(|| outside(text))?,
        resource: resource_of(text, resource)?,
    })
}

fn record(text: &str, tree: Tree, rest: &str) -> Result<RecordKey, KeyError> {
    let mut parts = rest.splitn(3, '/');
    let (Some(resource), Some("v1"), Some(rest)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(outside(text));
    };
    let resource = resource_of(text, resource)?;
    let (cluster, rest) = if resource.names_cluster(tree) {
        let (cluster, rest) = rest.split_once('/').ok_or_else(|| outside(text))?;
        (Some(cluster_name(text, cluster)?), rest)
    } else {
        (None, rest)
    };
    let rest = match (tree, resource) {
        (_, Resource::Identities) => rest.strip_prefix("id/"),
        (Tree::State, Resource::Addresses) => rest.strip_prefix("default/"),
        _ => Some(rest),
    };
    let name = name(text, resource, rest.ok_or_else(|| outside(text))?)?;
    Ok(RecordKey {
        tree,
        cluster,
        name,
    })
}

fn name(text: &str, resource: Resource, rest: &str) -> Result<Name, KeyError> {
    let (name, expected) = match resource {
        Resource::Nodes => (segment(rest).map(Name::Node), "the name of a node"),
        Resource::Identities => (identity(rest).map(Name::Identity), "a number"),
        Resource::Addresses => (
            rest.parse().ok().map(Name::Address),
            "an address or a prefix",
        ),
        Resource::Services => (
            namespaced(rest).map(Name::Service),
            "a namespace and a name",
        ),
        Resource::EndpointSlices => (
            namespaced(rest).map(Name::EndpointSlice),
            "a namespace and a name",
        ),
        Resource::ServiceExports => (
            namespaced(rest).map(Name::ServiceExport),
            "a namespace and a name",
        ),
    };
    name.ok_or_else(|| KeyError::Name {
        key: shorten(text),
        expected,
    })
}

fn segment(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= SEGMENT_LEN_MAX;
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    (fits && plain).then(|| text.to_owned())
}

fn identity(text: &str) -> Option<Identity> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(Identity(number))
}

fn namespaced(text: &str) -> Option<Namespaced> {
    let (namespace, name) = text.split_once('/')?;
    Some(Namespaced {
        namespace: segment(namespace)?,
        name: segment(name)?,
    })
}

fn cluster_name(text: &str, cluster: &str) -> Result<String, KeyError> {
    if is_cluster_name(cluster) {
        return Ok(cluster.to_owned());
    }
    Err(KeyError::ClusterName {
        key: shorten(text),
        cluster: shorten(cluster),
    })
}

fn resource_of(text: &str, word: &str) -> Result<Resource, KeyError> {
    Resource::ALL
        .into_iter()
        .find(|resource| resource.word() == word)
        .ok_or_else(|| outside(text))
}

fn outside(text: &str) -> KeyError {
    KeyError::Outside { key: shorten(text) }
}

/// Not an address or a prefix as it is usually written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address or a prefix in its usual form")]
pub struct ParseAddressNameError;

impl FromStr for AddressName {
    type Err = ParseAddressNameError;

    fn from_str(text: &str) -> Result<AddressName, ParseAddressNameError> {
        let (ip, length) = match text.split_once('/') {
            Some((ip, length)) => (ip, Some(length)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| ParseAddressNameError)?;
        let length = length.map(str::parse).transpose();
        let length: Option<u8> = length.map_err(|_| ParseAddressNameError)?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let name = AddressName { ip, length };
        let usual = ip.to_canonical() == ip && reads(text, &name);
        if length.is_some_and(|length| length > bits) || !usual {
            return Err(ParseAddressNameError);
        }
        Ok(name)
    }
}

/// Whether something is written just so; found out without writing it.
fn reads(text: &str, name: &AddressName) -> bool {
    struct Rest<'a>(&'a str);

    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
            Ok(())
        }
    }

    let mut rest = Rest(text);
    write!(rest, "{name}").is_ok() && rest.0.is_empty()
}
