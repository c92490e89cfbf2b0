//! `enable` and `disable`: an upgrade of the release.

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::super::install::{Values, Wait, upgrade};
use crate::{
    chart::Unpacked,
    cluster::{Cluster, Where, block_on},
    failure,
    helm::Helm,
};

#[derive(Args, Debug)]
pub struct Enable {
    #[command(flatten)]
    at: Where,
    /// How other clusters reach it; what the release says unless told
    #[arg(long, value_enum, value_name = "TYPE")]
    service_type: Option<ServiceType>,
    #[command(flatten)]
    values: Values,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    helm: Helm,
}

#[derive(Args, Debug)]
pub struct Disable {
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    helm: Helm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum ServiceType {
    LoadBalancer,
    NodePort,
    #[value(name = "ClusterIP")]
    ClusterIp,
}

impl Enable {
    pub fn run(self) -> Result<()> {
        let cluster = block_on(Cluster::open(&self.at))?;
        if cluster.settings.id == 0
            && !self
                .values
                .set
                .iter()
                .any(|set| set.contains("cluster.id="))
        {
            return Err(failure(
                format!(
                    "the cluster of {} has no id, so it can be in no mesh",
                    cluster.client.whom()
                ),
                &format!(
                    "give it one that no other has: `tombolo clustermesh enable{} --set cluster.name=NAME --set cluster.id=NUMBER`",
                    cluster.option
                ),
            ));
        }
        let chart = Unpacked::make()?;
        let mut call = upgrade(&self.at, &chart, false);
        call.pair("--set", "clustermesh.useAPIServer=true");
        if let Some(kind) = self.service_type {
            let name = kind
                .to_possible_value()
                .map(|value| value.get_name().to_owned());
            let set = format!(
                "clustermesh.apiserver.service.type={}",
                name.unwrap_or_default()
            );
            call.pair("--set", set);
        }
        self.values.add(&mut call);
        self.wait.add(&mut call);
        self.helm.run(&call)
    }
}

impl Disable {
    pub fn run(self) -> Result<()> {
        block_on(Cluster::open(&self.at))?;
        let chart = Unpacked::make()?;
        let mut call = upgrade(&self.at, &chart, false);
        call.pair("--set", "clustermesh.useAPIServer=false");
        self.wait.add(&mut call);
        self.helm.run(&call)
    }
}
