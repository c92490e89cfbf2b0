//! `tombolo apiserver`: tells a cluster's peers, through its store, of its nodes, pods, identities and services.

mod exporter;
mod kubernetes;
mod objects;
mod status;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use tokio::time::Instant;
use tombolo_clustermesh::drive;
use tombolo_k8s::Translator;
use tombolo_model::record::{Capabilities, ClusterConfig, ExportMode};

use crate::{
    KubernetesOptions, Server, Supervisor, Troubles, handed::HandedOptions,
    options::ClusterOptions, start_log,
};
use exporter::Exporter;
use objects::Objects;
use status::ExportPages;

#[derive(Args, Clone, Debug)]
pub struct ApiserverOptions {
    #[command(flatten)]
    pub cluster: ClusterOptions,
    /// Where the cluster's objects come from: `kubernetes`, a folder of manifests, or `-` for watch events, one JSON object
    /// a line, on standard input
    #[arg(long, env = "TOMBOLO_OBJECTS", value_name = "kubernetes|DIRECTORY|-")]
    pub objects: PathBuf,
    /// Folder that the Secret of --clustermesh-secret is handed out in
    #[arg(
        long,
        env = "TOMBOLO_CLUSTERMESH_CONFIG",
        value_name = "DIRECTORY",
        default_value = "/var/lib/cilium/clustermesh"
    )]
    pub clustermesh_config: PathBuf,
    #[command(flatten)]
    pub handed: HandedOptions,
    #[command(flatten)]
    pub kubernetes: KubernetesOptions,
    /// Tell peers nothing of namespaces that aren't annotated with clustermesh.cilium.io/global=true
    #[arg(long, env = "TOMBOLO_NO_DEFAULT_GLOBAL_NAMESPACE")]
    pub no_default_global_namespace: bool,
    /// How services are told of
    #[arg(long, env = "TOMBOLO_SERVICE_FORM", value_name = "FORM", value_enum, default_value_t = ServiceForm::Both)]
    pub service_form: ServiceForm,
    /// Tell of service exports of the multi-cluster services API
    #[arg(long, env = "TOMBOLO_ENABLE_MCS_API")]
    pub enable_mcs_api: bool,
    /// Where /healthz, /readyz, /metrics and /status are served
    #[arg(
        long,
        env = "TOMBOLO_HEALTH_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:9962"
    )]
    pub health_listen: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ServiceForm {
    /// One record for each service, which every version of Cilium reads
    Services,
    /// One record for each endpoint slice: a change of one backend is a small one
    EndpointSlices,
    /// Both
    Both,
}

impl ApiserverOptions {
    fn translator(&self) -> Translator {
        Translator::new(tombolo_k8s::Options {
            cluster: self.cluster.cluster_name.clone(),
            cluster_id: self.cluster.id(),
            default_global_namespace: !self.no_default_global_namespace,
            export: match self.service_form {
                ServiceForm::Services => ExportMode::Services,
                ServiceForm::EndpointSlices => ExportMode::EndpointSlices,
                ServiceForm::Both => ExportMode::Both,
            },
            service_exports: self.enable_mcs_api,
        })
    }

    /// What peers are told of us before anything else.
    fn config(&self) -> ClusterConfig {
        let mode = match self.service_form {
            ServiceForm::Services => "",
            ServiceForm::EndpointSlices => "endpointslices-only",
            ServiceForm::Both => "services-and-endpointslices",
        };
        ClusterConfig {
            id: self.cluster.cluster_id.into(),
            capabilities: Capabilities {
                max_connected_clusters: self.cluster.max_connected_clusters.into(),
                service_exports_enabled: Some(self.enable_mcs_api),
                export_mode: mode.into(),
                ..Capabilities::default()
            },
            ..ClusterConfig::default()
        }
    }
}

/// Exports until it is asked to end. What was told stays, until its leases end.
pub fn run(options: ApiserverOptions) -> Result<()> {
    start_log(options.cluster.log_format);
    options.cluster.check()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .context("starting the runtime")?
        .block_on(serve(options))
}

async fn serve(options: ApiserverOptions) -> Result<()> {
    let handed = &options.handed;
    let handed = handed
        .open(&options.kubernetes, &options.clustermesh_config)
        .await?;
    let connect = options.cluster.connect()?;
    let health = Server::bind(options.health_listen)
        .await
        .context("give --health-listen a free address")?;
    let troubles = Troubles::default();
    let objects = Objects::open(&options, &troubles).await?;
    let start = Instant::now();
    let exporter = Arc::new(Exporter::new(&options));
    let pages = ExportPages {
        exporter: Arc::clone(&exporter),
        cluster: options.cluster.cluster_name.clone(),
        cluster_id: options.cluster.id(),
        endpoints: connect.peer().endpoints,
        objects: objects.name(),
        troubles,
    };
    let mut supervisor = Supervisor::new("what was told stays until its leases end");
    supervisor.spawn("health", health.serve(Arc::new(pages), supervisor.stop()));
    if let Some(handed) = handed {
        supervisor.spawn("secret", handed.follow(supervisor.stop()));
    }
    supervisor.spawn(
        "objects",
        objects.follow(Arc::clone(&exporter), supervisor.stop()),
    );
    tracing::info!(cluster = options.cluster.cluster_name, objects = %options.objects.display(), "the export is ready");
    let stop = supervisor.stop();
    supervisor.spawn("writing", async move {
        tokio::select! {
            () = drive::write(&exporter.export, start, &connect, &exporter.signals) => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    });
    let stop = supervisor.stop();
    supervisor
        .run(async move {
            stop.cancelled().await;
            Ok(())
        })
        .await
}
