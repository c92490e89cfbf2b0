//! `tombolo certificates`.

use crate::{
    output::{self, Output},
    table,
};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use tombolo_control::Certificates;

#[derive(Args)]
pub struct Folder {
    /// Folder of the cluster's certificates
    #[arg(
        long,
        env = "TOMBOLO_CERTIFICATES",
        value_name = "DIRECTORY",
        default_value = "/var/lib/tombolo/certificates"
    )]
    certificates: PathBuf,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Make an authority and the cluster's own certificates, as `tombolo store` does at its first start
    Init {
        #[command(flatten)]
        folder: Folder,
        /// Name of this cluster
        #[arg(long, env = "TOMBOLO_CLUSTER_NAME", value_name = "NAME")]
        cluster_name: String,
        /// Name or address that clients reach the store by, beside the usual ones
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        server_name: Vec<String>,
    },
    /// Issue a certificate to a peer, by which it may read; carry it there with ca.crt
    Issue {
        #[command(flatten)]
        folder: Folder,
        /// The peer, as remote-<name of its cluster>
        #[arg(value_parser = peer)]
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Let a peer read no longer, whatever certificates it has
    Revoke {
        #[command(flatten)]
        folder: Folder,
        /// The peer, as remote-<name of its cluster>
        #[arg(value_parser = peer)]
        name: String,
    },
    /// Show certificates, days left, and which peers may read
    List {
        #[command(flatten)]
        folder: Folder,
        #[command(flatten)]
        output: Output,
    },
}

/// The cluster's name in `remote-<name>`.
fn peer(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("remote-").filter(|name| !name.is_empty());
    name.map(str::to_owned)
        .ok_or_else(|| "write it as remote-<name of the peer's cluster>".into())
}

impl Verb {
    pub fn run(self) -> Result<()> {
        match self {
            Verb::Init {
                folder,
                cluster_name,
                server_name,
            } => {
                let made = Certificates::ensure(&folder.certificates, &cluster_name, &server_name)?;
                output::write(&text(&made.list()?))
            }
            Verb::Issue {
                folder,
                name,
                output,
            } => {
                let files = Certificates::open(&folder.certificates)?.issue(&name)?;
                let value =
                    json!({"ca": files.ca, "certificate": files.certificate, "key": files.key});
                output.write(&value, |_| {
                    format!(
                        "{name} may read now; carry these there:\n  {}\n  {}\n  {}\n",
                        files.ca.display(),
                        files.certificate.display(),
                        files.key.display()
                    )
                })
            }
            Verb::Revoke { folder, name } => {
                let known = Certificates::open(&folder.certificates)?.revoke(&name)?;
                output::write(&if known {
                    format!("{name} may no longer read\n")
                } else {
                    format!("{name} could not read before either\n")
                })
            }
            Verb::List { folder, output } => {
                let listed = Certificates::open(&folder.certificates)?.list()?;
                output.write(&listed, |listed| text(listed))
            }
        }
    }
}

fn text(listed: &[tombolo_control::Listed]) -> String {
    let rows = listed.iter().map(|listed| {
        let days = match listed.days_left {
            days if days < 0 => "expired".to_owned(),
            days => days.to_string(),
        };
        let may_read = listed.may_read.map(|may| if may { "yes" } else { "no" });
        [
            listed.name.clone(),
            listed.common_name.clone(),
            days,
            may_read.unwrap_or_default().to_owned(),
        ]
    });
    table::render(
        ["CERTIFICATE", "COMMON NAME", "DAYS LEFT", "MAY READ"],
        rows,
    )
}
