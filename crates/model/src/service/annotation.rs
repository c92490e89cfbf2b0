//! What a service's annotations say of other clusters, as Cilium reads them.

use std::{collections::BTreeMap, fmt};

/// The second ones are of older versions; the first are believed where both stand.
const GLOBAL: [&str; 2] = ["service.cilium.io/global", "io.cilium/global-service"];
const SHARED: [&str; 2] = ["service.cilium.io/shared", "io.cilium/shared-service"];
const AFFINITY: [&str; 2] = ["service.cilium.io/affinity", "io.cilium/service-affinity"];
/// Of a slice: how much its endpoints get against others, 0 for nothing new.
const WEIGHT: &str = "service.cilium.io/weight";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// Other clusters' backends of the same name answer too.
    pub global: bool,
    /// Other clusters may have the own backends. True without effect if it is not global.
    pub shared: bool,
    /// Without effect if it is not global.
    pub affinity: Affinity,
}

/// Whose backends are used while they are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// All alike.
    #[default]
    None,
    /// The own cluster's.
    Local,
    /// Other clusters'.
    Remote,
}

impl Affinity {
    pub fn word(self) -> &'static str {
        match self {
            Affinity::None => "none",
            Affinity::Local => "local",
            Affinity::Remote => "remote",
        }
    }
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Sharing {
    /// Beside what was understood, a sentence for each value that was not.
    pub fn read(annotations: &BTreeMap<String, String>) -> (Sharing, Vec<String>) {
        let mut problems = Vec::new();
        let global = truth(annotations, GLOBAL, "private to its cluster", &mut problems);
        let global = global.unwrap_or(false);
        let shared = truth(annotations, SHARED, "not shared", &mut problems).unwrap_or(true);
        let affinity = affinity(annotations, &mut problems);
        let sharing = Sharing {
            global,
            shared,
            affinity: if global { affinity } else { Affinity::None },
        };
        (sharing, problems)
    }

    pub fn is_exported(&self) -> bool {
        self.global && self.shared
    }
}

fn value(
    annotations: &BTreeMap<String, String>,
    names: [&'static str; 2],
) -> Option<(&'static str, String)> {
    let found = names
        .iter()
        .find_map(|name| Some((*name, annotations.get(*name)?)));
    found.map(|(name, value)| (name, value.to_ascii_lowercase()))
}

/// Whatever is not true is false, and told of if it is not that in words.
fn truth(
    annotations: &BTreeMap<String, String>,
    names: [&'static str; 2],
    consequence: &str,
    problems: &mut Vec<String>,
) -> Option<bool> {
    let (name, value) = value(annotations, names)?;
    if value != "true" && value != "false" {
        problems.push(format!(
            "annotation {name} is `{value}`: the service is {consequence}; use \"true\" or \"false\""
        ));
    }
    Some(value == "true")
}

fn affinity(annotations: &BTreeMap<String, String>, problems: &mut Vec<String>) -> Affinity {
    let Some((name, value)) = value(annotations, AFFINITY) else {
        return Affinity::None;
    };
    match value.as_str() {
        "local" => Affinity::Local,
        "remote" => Affinity::Remote,
        "" | "none" => Affinity::None,
        _ => {
            problems.push(format!(
                "annotation {name} is `{value}`: taken for none; use local, remote or none"
            ));
            Affinity::None
        }
    }
}

/// The weight that a slice gives its endpoints; what can't be read is told of and changes nothing.
pub fn weight(annotations: &BTreeMap<String, String>) -> Result<u16, String> {
    let Some(text) = annotations.get(WEIGHT) else {
        return Ok(super::WEIGHT_DEFAULT);
    };
    text.parse().map_err(|_| {
        format!("annotation {WEIGHT} is `{text}`: taken for 100; use a number from 0 to 65535")
    })
}
