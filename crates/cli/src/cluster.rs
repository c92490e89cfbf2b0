//! Which Kubernetes cluster a command is about.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Clone, Debug, Default)]
pub struct Where {
    /// File that says how clusters are reached
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Which of its contexts; the current one unless told
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the release
    #[arg(long, short, value_name = "NAME", default_value = "kube-system")]
    pub namespace: String,
}
