//! Versions of the specification, and the answer to VERSION.

use crate::error::Error;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use std::{fmt, str::FromStr};

#[cfg(test)]
mod tests;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(
    non_camel_case_types,
    reason = "V1_1_0 reads as the version, V110 does not"
)]
pub enum Version {
    V0_3_0,
    V0_3_1,
    V0_4_0,
    V1_0_0,
    V1_1_0,
}

impl Version {
    pub const ALL: [Version; 5] = [
        Version::V0_3_0,
        Version::V0_3_1,
        Version::V0_4_0,
        Version::V1_0_0,
        Version::V1_1_0,
    ];
    pub const LATEST: Version = Version::V1_1_0;

    /// All versions, as a person reads them.
    pub fn list() -> String {
        Version::ALL.map(Version::text).join(", ")
    }

    fn text(self) -> &'static str {
        match self {
            Version::V0_3_0 => "0.3.0",
            Version::V0_3_1 => "0.3.1",
            Version::V0_4_0 => "0.4.0",
            Version::V1_0_0 => "1.0.0",
            Version::V1_1_0 => "1.1.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Version, Error> {
        Version::ALL
            .into_iter()
            .find(|version| version.text() == text)
            .ok_or_else(|| Error::UnknownVersion(text.to_owned()))
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

/// The answer to VERSION: in the version of the question, which need not be one that we speak.
pub fn versions(input: &[u8]) -> Result<Value, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Question {
        #[serde(default)]
        cni_version: Option<String>,
    }
    let question = if input.trim_ascii().is_empty() {
        Question { cni_version: None }
    } else {
        serde_json::from_slice(input).map_err(|source| Error::Decode {
            subject: "the question for versions",
            source,
        })?
    };
    let version = question
        .cni_version
        .unwrap_or_else(|| Version::LATEST.to_string());
    Ok(json!({"cniVersion": version, "supportedVersions": Version::ALL}))
}
