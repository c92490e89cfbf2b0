//! Whom a certificate is for, and by which names the store is reached.

use anyhow::{Context as _, Result};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

/// The name that upstream's server certificates have.
pub const SERVER_NAME: &str = "clustermesh-apiserver.kube-system.svc";

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
