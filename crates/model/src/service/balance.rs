//! How a backend is chosen for what comes from outside.

use super::maglev;
use std::{collections::BTreeMap, fmt};

const ALGORITHM: &str = "service.cilium.io/lb-algorithm";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Each node draws.
    #[default]
    Random,
    /// By a table that all nodes of the cluster make alike.
    Maglev,
}

/// What a node is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balancing {
    /// Of services that say nothing themselves.
    pub algorithm: Algorithm,
    /// One of [`maglev::SIZES`].
    pub table_size: u32,
    /// All nodes of a cluster have the same.
    pub seed: u64,
}

impl Default for Balancing {
    fn default() -> Balancing {
        Balancing {
            algorithm: Algorithm::default(),
            table_size: maglev::SIZE_DEFAULT,
            seed: 0,
        }
    }
}

impl Algorithm {
    pub fn word(self) -> &'static str {
        match self {
            Algorithm::Random => "random",
            Algorithm::Maglev => "maglev",
        }
    }

    pub fn from_word(word: &str) -> Option<Algorithm> {
        let all = [Algorithm::Random, Algorithm::Maglev];
        all.into_iter().find(|algorithm| algorithm.word() == word)
    }

    /// What a service asks for, if it does. A value that can't be read is told of and leaves the node's own.
    pub fn read(annotations: &BTreeMap<String, String>) -> (Option<Algorithm>, Option<String>) {
        let Some(text) = annotations.get(ALGORITHM).filter(|text| !text.is_empty()) else {
            return (None, None);
        };
        let algorithm = Algorithm::from_word(&text.to_ascii_lowercase());
        let problem = algorithm.is_none().then(|| {
            format!(
                "annotation {ALGORITHM} is `{text}`: the cluster's own algorithm is used; use random or maglev"
            )
        });
        (algorithm, problem)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
