//! `cluster.id`: who a cluster is, where its mesh API is reached, and which authority speaks for it.
//!
//! It is no secret. It is sealed with the secret that goes with it, so that neither can be changed or mixed up alone.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use serde::{Deserialize, Serialize};
use tombolo_model::{config::is_cluster_name, id::ClusterId};

use super::{
    Secret, TrustError,
    pair::{self, Context},
};
use crate::certificates::authorities;

pub const LEN_MAX: usize = 64 << 10;
const VERSION: u64 = 1;
const ENDPOINTS_MAX: usize = 64;
const CLUSTER_ID_MAX: u16 = 511;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    pub name: String,
    pub id: ClusterId,
    /// As `https://<name or address>:<port>`; empty as long as nobody knows.
    pub endpoints: Vec<String>,
    /// Certificates of the authorities that may speak for the cluster, in PEM.
    pub ca: String,
}

/// As it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u64,
    name: String,
    id: u16,
    endpoints: Vec<String>,
    ca: String,
    seal: String,
}

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

impl Introduction {
    /// Whose it says that it is, for as long as nothing rests on that: the seal isn't looked at.
    pub fn peek(text: &[u8]) -> Result<Introduction, TrustError> {
        let (introduction, _) = parse(text)?;
        Ok(introduction)
    }

    pub fn read(text: &[u8], secret: &Secret) -> Result<Introduction, TrustError> {
        let (introduction, seal) = parse(text)?;
        let seal = STANDARD.decode(seal).map_err(|_| TrustError::Seal)?;
        let key = pair::seal_key(secret);
        hmac::verify(&key, &introduction.sealed(), &seal).map_err(|_| TrustError::Seal)?;
        Ok(introduction)
    }

    pub fn write(&self, secret: &Secret) -> Result<String, TrustError> {
        self.check()?;
        let seal = hmac::sign(&pair::seal_key(secret), &self.sealed());
        let document = Document {
            version: VERSION,
            name: self.name.clone(),
            id: self.id.0,
            endpoints: self.endpoints.clone(),
            ca: self.ca.clone(),
            seal: STANDARD.encode(seal),
        };
        let text = serde_json::to_string_pretty(&document);
        let text = text.map_err(|error| TrustError::Malformed {
            problem: error.to_string(),
        })?;
        Ok(text + "\n")
    }

    /// The authorities' certificates, in DER.
    pub fn authorities(&self) -> Result<Vec<Vec<u8>>, TrustError> {
        authorities(&self.ca).map_err(|problem| TrustError::Field {
            field: "ca",
            problem,
        })
    }

    /// What the seal is of.
    fn sealed(&self) -> Vec<u8> {
        let mut context = Context::new("introduction");
        context.side(&self.name, self.id);
        context.list(&self.endpoints);
        context.part(self.ca.as_bytes());
        context.bytes()
    }

    fn check(&self) -> Result<(), TrustError> {
        let wrong = |field, problem: String| Err(TrustError::Field { field, problem });
        if !is_cluster_name(&self.name) || self.name == "default" {
            let name: String = self
                .name
                .chars()
                .filter(|c| !c.is_control())
                .take(64)
                .collect();
            return wrong(
                "name",
                format!("`{name}` can't be the name of a cluster in a mesh"),
            );
        }
        if self.id.0 == 0 || self.id.0 > CLUSTER_ID_MAX {
            return wrong(
                "id",
                format!("{} is not within 1 to {CLUSTER_ID_MAX}", self.id.0),
            );
        }
        if self.endpoints.len() > ENDPOINTS_MAX {
            return wrong("endpoints", format!("there are more than {ENDPOINTS_MAX}"));
        }
        for endpoint in &self.endpoints {
            if split_endpoint(endpoint).is_none() {
                let shown: String = endpoint
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(80)
                    .collect();
                return wrong(
                    "endpoints",
                    format!("`{shown}`: write it like https://192.0.2.1:2379"),
                );
            }
        }
        self.authorities().map(|_| ())
    }
}

/// Host and port of `https://<host>:<port>`; an IPv6 address is written in brackets.
pub fn split_endpoint(endpoint: &str) -> Option<(String, u16)> {
    let rest = endpoint.strip_prefix("https://")?;
    let (host, port) = rest.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    if let Some(inner) = host.strip_prefix('[') {
        let address: IpAddr = inner.strip_suffix(']')?.parse().ok()?;
        return address.is_ipv6().then(|| (address.to_string(), port));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_name = !host.is_empty() && host.len() <= 253 && host.chars().all(plain);
    is_name.then(|| (host.to_owned(), port))
}

fn parse(text: &[u8]) -> Result<(Introduction, String), TrustError> {
    if text.len() > LEN_MAX {
        return Err(TrustError::TooLong { len: text.len() });
    }
    let malformed = |error: serde_json::Error| TrustError::Malformed {
        problem: error.to_string(),
    };
    // The version first: a later one may have any other fields.
    let Versioned { version } = serde_json::from_slice(text).map_err(malformed)?;
    if version != VERSION {
        return Err(TrustError::Version { version });
    }
    let document: Document = serde_json::from_slice(text).map_err(malformed)?;
    let introduction = Introduction {
        name: document.name,
        id: ClusterId(document.id),
        endpoints: document.endpoints,
        ca: document.ca,
    };
    introduction.check()?;
    Ok((introduction, document.seal))
}
