//! What people get wrong when they connect clusters by hand, and the commands that put it right.

use std::fmt;

use tombolo_model::id::ClusterId;

use super::TrustError;

/// A Secret, by its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName {
    pub namespace: String,
    pub name: String,
}

impl SecretName {
    /// Where a cluster keeps what it gives to its peers.
    pub const OWN: &'static str = "cluster-mesh-config";

    pub fn is_own(&self) -> bool {
        self.name == SecretName::OWN
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The cluster that is listed is this one.
    OwnCluster,
    /// There is no such Secret; perhaps one with our own files, which is the peer's.
    Missing {
        misplaced: Option<SecretName>,
    },
    /// The Secret was made of this cluster's own files.
    HoldsOwn,
    KeyMissing {
        key: &'static str,
        has: Vec<String>,
    },
    NameDiffers {
        says: String,
    },
    IdTaken {
        id: ClusterId,
        by: String,
    },
    /// The peer's `cluster.secret` is ours.
    OwnSecret,
    /// The peer does not know yet where it is reached.
    NoEndpoint,
    Broken(TrustError),
}

impl From<TrustError> for Mistake {
    fn from(error: TrustError) -> Mistake {
        Mistake::Broken(error)
    }
}

/// Where a mistake was made.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// This cluster.
    pub own: &'a str,
    /// The peer that the ClusterMesh lists.
    pub peer: &'a str,
    /// The Secret that is named for it.
    pub secret: &'a SecretName,
}

impl Mistake {
    /// For programs, in the form of Kubernetes' conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Mistake::OwnCluster => "OwnCluster",
            Mistake::Missing { misplaced: None } => "SecretMissing",
            Mistake::Missing { misplaced: Some(_) } | Mistake::HoldsOwn => "SecretsSwapped",
            Mistake::KeyMissing { .. } => "SecretKeyMissing",
            Mistake::NameDiffers { .. } => "NameDiffers",
            Mistake::IdTaken { .. } => "IdTaken",
            Mistake::OwnSecret => "OwnSecret",
            Mistake::NoEndpoint => "NoEndpoint",
            Mistake::Broken(TrustError::SecretLength { .. } | TrustError::SecretWeak) => {
                "SecretInvalid"
            }
            Mistake::Broken(TrustError::Seal) => "SecretMismatch",
            Mistake::Broken(TrustError::Version { .. }) => "VersionUnknown",
            Mistake::Broken(_) => "IdInvalid",
        }
    }

    pub fn message(&self, scene: Scene<'_>) -> String {
        let Scene { own, peer, secret } = scene;
        match self {
            Mistake::OwnCluster => {
                format!("{peer} is this cluster itself: take it out of the list")
            }
            Mistake::Missing { misplaced: None } => format!(
                "Secret {secret} is not there: make it of cluster.id and cluster.secret of {peer}"
            ),
            Mistake::Missing {
                misplaced: Some(other),
            } => format!(
                "Secret {secret} is not there, and Secret {other} holds {own}'s own cluster.id: that one belongs on \
                 {peer}, and the one made of {peer}'s files belongs here"
            ),
            Mistake::HoldsOwn => format!(
                "Secret {secret} was made of {own}'s own files: it belongs on {peer}, and the one made of {peer}'s \
                 files belongs here"
            ),
            Mistake::KeyMissing { key, has } if has.is_empty() => {
                format!("Secret {secret} is empty: {key} is missing")
            }
            Mistake::KeyMissing { key, has } => format!(
                "Secret {secret} has no key {key}, but {}: give --from-file={key}=FILE",
                has.join(", ")
            ),
            Mistake::NameDiffers { says } => format!(
                "{peer} is listed, but Secret {secret} is of the cluster {says}: write that name, or name another Secret"
            ),
            Mistake::IdTaken { id, by } => format!(
                "{peer} has the id {id}, which {by} has too: install one of them with another cluster.id"
            ),
            Mistake::OwnSecret => format!(
                "Secret {secret} holds {own}'s own cluster.secret beside {peer}'s cluster.id: take both from {peer}"
            ),
            Mistake::NoEndpoint => format!(
                "{peer} did not know yet where its mesh API is reached when its cluster.id was taken: take it again, \
                 after `tombolo clustermesh status` there tells an address"
            ),
            Mistake::Broken(error) => format!("Secret {secret}: {error}"),
        }
    }

    /// What to type, with a context for each cluster that is called as the cluster is.
    pub fn commands(&self, scene: Scene<'_>) -> Vec<String> {
        let Scene { own, peer, secret } = scene;
        match self {
            Mistake::OwnCluster | Mistake::NameDiffers { .. } => {
                vec![format!("kubectl --context {own} edit clustermesh")]
            }
            Mistake::IdTaken { .. } => {
                vec![format!(
                    "tombolo upgrade --context {peer} --set cluster.id=<a number nobody has>"
                )]
            }
            Mistake::Missing { misplaced: None } => make_anew(scene, false),
            Mistake::Missing {
                misplaced: Some(other),
            } => {
                let mut commands = carry(own, peer, other);
                commands.extend(make_anew(scene, false));
                commands
            }
            Mistake::HoldsOwn => {
                let mut commands = carry(own, peer, secret);
                commands.extend(make_anew(scene, false));
                commands
            }
            Mistake::KeyMissing { .. }
            | Mistake::OwnSecret
            | Mistake::NoEndpoint
            | Mistake::Broken(_) => make_anew(scene, true),
        }
    }
}

/// Brings our own files to the peer, under the name that is asked for there, and takes them away here.
fn carry(own: &str, peer: &str, wrong: &SecretName) -> Vec<String> {
    let SecretName { namespace, name } = wrong;
    let mut commands = vec![format!(
        "kubectl --context {own} delete secret -n {namespace} {name}"
    )];
    let there = SecretName {
        namespace: namespace.clone(),
        name: format!("{own}-secret"),
    };
    commands.extend(make(own, peer, &there));
    commands
}

fn make_anew(scene: Scene<'_>, replace: bool) -> Vec<String> {
    let Scene { own, peer, secret } = scene;
    let SecretName { namespace, name } = secret;
    let delete = format!("kubectl --context {own} delete secret -n {namespace} {name}");
    let mut commands = if replace { vec![delete] } else { Vec::new() };
    commands.extend(make(peer, own, secret));
    commands
}

/// Makes the Secret `secret` on the cluster `to` of the files of the cluster `from`.
fn make(from: &str, to: &str, secret: &SecretName) -> Vec<String> {
    let SecretName { namespace, name } = secret;
    let own = SecretName::OWN;
    let take = |key: &str| {
        format!(
            "kubectl --context {from} get secret -n kube-system {own} -o jsonpath='{{.data.cluster\\.{key}}}' \
             | base64 --decode > {from}.{key}"
        )
    };
    vec![
        take("id"),
        take("secret"),
        format!(
            "kubectl --context {to} create secret generic -n {namespace} {name} \
             --from-file=cluster.id={from}.id --from-file=cluster.secret={from}.secret"
        ),
    ]
}
