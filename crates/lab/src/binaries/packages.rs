//! Programs that distributions have: the container runtime and what it starts.

use super::{Error, Result, on_path, version};
use crate::inside;
use std::path::PathBuf;

struct Packaged {
    name: &'static str,
    package: &'static str,
    ask: &'static [&'static str],
    /// The first that speaks to this series of Kubernetes.
    first: &'static str,
}

const PACKAGED: [Packaged; 3] = [
    Packaged {
        name: "containerd",
        package: "containerd",
        ask: &["--version"],
        first: "1.6.0",
    },
    Packaged {
        name: "ctr",
        package: "containerd",
        ask: &["--version"],
        first: "1.6.0",
    },
    Packaged {
        name: "runc",
        package: "runc",
        ask: &["--version"],
        first: "1.1.0",
    },
];

/// All that nodes need of packages, by name.
pub fn packaged() -> Result<Vec<(String, PathBuf)>> {
    if inside::loopback().is_none() {
        return Err(Error::NoPackage {
            name: "the CNI plugin loopback",
            package: "containernetworking-plugins",
        });
    }
    PACKAGED.iter().map(find).collect()
}

fn find(packaged: &Packaged) -> Result<(String, PathBuf)> {
    let Packaged { name, package, .. } = *packaged;
    let path = on_path(name).ok_or(Error::NoPackage { name, package })?;
    let is = version::of(&path, packaged.ask).unwrap_or_else(|| "of no version".to_owned());
    if numbers(&is) < numbers(packaged.first) {
        return Err(Error::Old {
            path,
            name,
            is,
            wanted: packaged.first,
        });
    }
    Ok((name.to_owned(), path))
}

fn numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(numbers("1.10.0") > numbers("1.6.0"));
        assert!(numbers("1.6.20") > numbers("1.6.0"));
        assert!(numbers("2.0.1") > numbers("1.6.0"));
        assert!(numbers("1.5.18") < numbers("1.6.0"));
        assert!(numbers("of no version") < numbers("1.6.0"));
    }
}
