//! Whom a certificate is for, by which names the store is reached, and what else stands in one.

use anyhow::{Context as _, Result};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

/// The name that upstream's server certificates have.
pub const SERVER_NAME: &str = "clustermesh-apiserver.kube-system.svc";

/// Of one cluster, while it replaces its authority.
const AUTHORITIES_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Server,
    /// Who writes into the store of this cluster.
    Admin(String),
    /// The agents of this cluster.
    Local(String),
    Peer(String),
}

impl Owner {
    /// Those that a cluster has for itself.
    pub fn own(cluster: &str) -> [Owner; 3] {
        [
            Owner::Server,
            Owner::Admin(cluster.to_owned()),
            Owner::Local(cluster.to_owned()),
        ]
    }

    pub fn common_name(&self) -> String {
        match self {
            Owner::Server => SERVER_NAME.to_owned(),
            Owner::Admin(cluster) => format!("admin-{cluster}"),
            Owner::Local(cluster) => format!("local-{cluster}"),
            Owner::Peer(peer) => format!("remote-{peer}"),
        }
    }

    /// Without its ending.
    pub fn file(&self) -> String {
        match self {
            Owner::Server => "server".to_owned(),
            Owner::Admin(_) => "admin".to_owned(),
            Owner::Local(_) => "local".to_owned(),
            Owner::Peer(peer) => format!("remote-{peer}"),
        }
    }

    /// Only servers are looked for by name.
    pub fn names(&self, more: &[String]) -> Vec<String> {
        if *self != Owner::Server {
            return Vec::new();
        }
        let usual = [
            SERVER_NAME,
            "*.mesh.cilium.io",
            "localhost",
            "127.0.0.1",
            "::1",
        ];
        let usual = usual.map(str::to_owned).into_iter();
        usual.chain(more.iter().cloned()).collect()
    }
}

/// The names that a certificate has, as they are written when one is asked for.
pub fn in_certificate(der: &[u8]) -> Result<Vec<String>> {
    let (_, certificate) = X509Certificate::from_der(der).context("it is no certificate")?;
    let alternatives = certificate
        .subject_alternative_name()
        .context("its names are damaged")?;
    let names = alternatives.map_or(&[][..], |found| &found.value.general_names[..]);
    Ok(names.iter().filter_map(spell).collect())
}

fn spell(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(std::net::Ipv4Addr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            16 => Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// The names of a certificate that are URIs; nothing if it is none.
pub fn uris(der: &[u8]) -> Option<Vec<String>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let alternatives = certificate.subject_alternative_name().ok()?;
    let names = alternatives.map_or(&[][..], |found| &found.value.general_names[..]);
    let uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    Some(uris.collect())
}

pub fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.public_key().subject_public_key.data.to_vec())
}

/// The certificates of authorities in a text, in DER; at least one.
pub fn authorities(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut found = Vec::new();
    for part in x509_parser::pem::Pem::iter_from_buffer(pem.as_bytes()) {
        let part = part.map_err(|error| format!("it is not PEM: {error}"))?;
        if part.label != "CERTIFICATE" {
            return Err(format!(
                "a {} has no place in it",
                part.label.to_lowercase()
            ));
        }
        let (_, certificate) = X509Certificate::from_der(&part.contents)
            .map_err(|_| "it holds no certificate".to_owned())?;
        if !certificate.is_ca() {
            return Err("a certificate in it is not of an authority".to_owned());
        }
        found.push(part.contents);
    }
    if found.is_empty() || found.len() > AUTHORITIES_MAX {
        return Err(format!("it holds {} certificates", found.len()));
    }
    Ok(found)
}
