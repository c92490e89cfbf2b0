//! From a kubeconfig, or from what a pod is given, to a client. Asks the server nothing yet.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::{CONNECT_TIMEOUT, Client, Error, Target, error::said};

/// Which cluster to speak to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// One file, or several with colons between them, of which the first one that says something counts. Without one: what
    /// a pod's service account is given, and where there is none, `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// Without one: the kubeconfig's current one.
    pub context: Option<String>,
}

impl Client {
    pub async fn connect(connect: &Connect) -> Result<Client, Error> {
        let in_pod = connect.kubeconfig.is_none() && connect.context.is_none();
        let service_account = in_pod.then(Config::incluster);
        let (config, whom) = match service_account {
            Some(Ok(config)) => (config, "the pod's service account".to_owned()),
            Some(Err(in_cluster)) => match default_kubeconfig() {
                Some(file) if file.is_file() => from_kubeconfig(&file, None).await?,
                _ => {
                    return Err(Error::Nowhere {
                        reason: said(&in_cluster),
                    });
                }
            },
            None => {
                let file = connect.kubeconfig.clone().or_else(default_kubeconfig);
                let file = file.ok_or_else(|| Error::Nowhere {
                    reason: "HOME is not set".into(),
                })?;
                from_kubeconfig(&file, connect.context.clone()).await?
            }
        };
        Client::new(config, whom)
    }

    fn new(mut config: Config, whom: String) -> Result<Client, Error> {
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let target = Target {
            server: config.cluster_url.to_string(),
            whom,
            namespace: config.default_namespace.clone(),
        };
        let inner = kube::Client::try_from(config).map_err(|error| Error::Kubeconfig {
            file: target.whom.clone(),
            reason: said(&error),
        })?;
        Ok(Client {
            inner,
            target: Arc::new(target),
        })
    }
}

fn default_kubeconfig() -> Option<PathBuf> {
    Some(env::home_dir()?.join(".kube/config"))
}

async fn from_kubeconfig(files: &Path, context: Option<String>) -> Result<(Config, String), Error> {
    let name = files.display().to_string();
    let refuse = |error: KubeconfigError| Error::Kubeconfig {
        file: name.clone(),
        reason: said(&error),
    };
    let mut kubeconfig = Kubeconfig::default();
    for file in env::split_paths(files).filter(|file| *file != Path::new("")) {
        let next = Kubeconfig::read_from(&file).map_err(refuse)?;
        kubeconfig = kubeconfig.merge(next).map_err(refuse)?;
    }
    let known: Vec<String> = kubeconfig
        .contexts
        .iter()
        .map(|context| context.name.clone())
        .collect();
    let wanted = context.or_else(|| kubeconfig.current_context.clone());
    let wanted = wanted.filter(|wanted| !wanted.is_empty());
    let Some(wanted) = wanted else {
        return Err(Error::NoContext { file: name, known });
    };
    if !known.contains(&wanted) {
        return Err(Error::Context {
            context: wanted,
            file: name,
            known,
        });
    }
    let options = KubeConfigOptions {
        context: Some(wanted.clone()),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let config = config.map_err(refuse)?;
    Ok((config, format!("the context {wanted} of {name}")))
}
