//! `rotate`: another secret for the cluster, while the old one is still good.

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use serde_json::json;
use tombolo_control::trust::{ID_KEY, OLD_SECRET_KEY, SECRET_KEY, Secret};
use tombolo_k8s::client::Api;

use crate::{
    cluster::{Cluster, Where, block_on},
    failure, output,
};

#[derive(Args, Debug)]
pub struct Rotate {
    #[command(flatten)]
    at: Where,
    /// End what was begun: the old secret is good no more
    #[arg(long)]
    finish: bool,
}

impl Rotate {
    pub fn run(self) -> Result<()> {
        block_on(self.rotate())
    }

    async fn rotate(self) -> Result<()> {
        let cluster = Cluster::open(&self.at).await?;
        let own = cluster.own().await?;
        let (name, option) = (&own.introduction.name, &cluster.option);
        let is_begun = own.secrets.len() > 1;
        if is_begun != self.finish {
            let (message, hint) = match is_begun {
                true => (
                    "is being replaced already",
                    "when all peers have the new one, `tombolo clustermesh rotate --finish` ends that",
                ),
                false => (
                    "is not being replaced",
                    "`tombolo clustermesh rotate` begins that",
                ),
            };
            return Err(failure(format!("the secret of {name} {message}"), hint));
        }
        let patch = if self.finish {
            json!({"data": {OLD_SECRET_KEY: null}})
        } else {
            let made = Secret::make()?;
            let old = own.secrets.first().context("a cluster has a secret")?;
            // Both in one step: the introduction is sealed with the secret that goes with it.
            json!({"data": {
                ID_KEY: STANDARD.encode(own.introduction.write(&made)?),
                SECRET_KEY: STANDARD.encode(made.bytes()),
                OLD_SECRET_KEY: STANDARD.encode(old.bytes()),
            }})
        };
        let (client, secret) = (&cluster.client, cluster.secret());
        client.patch(Api::SECRETS, &secret, &patch).await?;
        output::write(&if self.finish {
            format!("{name} knows its new secret only\n")
        } else {
            format!(
                "{name} has a new secret, and the old one is good as well. Bring it to all peers, and then end the old one:\n  \
                 tombolo clustermesh connect{option} --destination-context PEER,…\n  \
                 tombolo clustermesh rotate{option} --finish\n"
            )
        })
    }
}
