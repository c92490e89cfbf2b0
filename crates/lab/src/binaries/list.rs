//! Which programs there are, at which versions, and how Go builds each.
//!
//! A version is raised here and in `crates/lab/modules/NAME/go.mod` (Kubernetes has its published parts there as
//! replacements), then by `go mod tidy` in that folder.

/// The two files that pin a Go module and all that it needs.
#[derive(Debug)]
pub struct Module {
    pub name: &'static str,
    pub requirements: &'static str,
    pub checksums: &'static str,
}

#[derive(Debug)]
pub struct Binary {
    pub name: &'static str,
    pub purpose: &'static str,
    /// The version that is built and tested with.
    pub version: &'static str,
    /// Any version that begins so will do.
    pub series: &'static str,
    /// What it is asked for its version by.
    pub ask: &'static [&'static str],
    pub module: &'static Module,
    pub package: &'static str,
    /// Texts to set while linking, each as `package.variable=text`.
    pub set: &'static [&'static str],
    /// How long a build takes when nothing of it is in Go's own cache.
    pub time: &'static str,
}

/// `include!` wants the text of a path, so this cannot be a function.
macro_rules! module {
    ($name:literal) => {
        Module {
            name: $name,
            requirements: include_str!(concat!("../../modules/", $name, "/go.mod")),
            checksums: include_str!(concat!("../../modules/", $name, "/go.sum")),
        }
    };
}

static ETCD: Module = module!("etcd");
static KUBERNETES: Module = module!("kubernetes");
static HELM: Module = module!("helm");
static COREDNS: Module = module!("coredns");

/// Without these, Kubernetes takes itself for a version that has no number.
const KUBERNETES_SET: &[&str] = &[
    "k8s.io/component-base/version.gitVersion=v1.34.4",
    "k8s.io/component-base/version.gitMajor=1",
    "k8s.io/component-base/version.gitMinor=34",
];

const fn of_kubernetes(
    name: &'static str,
    purpose: &'static str,
    package: &'static str,
    time: &'static str,
) -> Binary {
    Binary {
        name,
        purpose,
        version: "1.34.4",
        series: "1.34",
        ask: &["--version"],
        module: &KUBERNETES,
        package,
        set: KUBERNETES_SET,
        time,
    }
}

const fn of_etcd(
    name: &'static str,
    purpose: &'static str,
    ask: &'static [&'static str],
    package: &'static str,
    time: &'static str,
) -> Binary {
    Binary {
        name,
        purpose,
        version: "3.6.6",
        series: "3.6",
        ask,
        module: &ETCD,
        package,
        set: &[],
        time,
    }
}

/// In the order in which they are built soonest: the first of a module builds what its others share.
pub static ALL: [Binary; 9] = [
    of_etcd(
        "etcd",
        "the store that Kubernetes is made for",
        &["--version"],
        "go.etcd.io/etcd/server/v3",
        "about a minute",
    ),
    of_etcd(
        "etcdctl",
        "etcd's command line",
        &["version"],
        "go.etcd.io/etcd/etcdctl/v3",
        "some seconds",
    ),
    of_kubernetes(
        "kube-apiserver",
        "the API of Kubernetes",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "about three minutes",
    ),
    Binary {
        ask: &["version", "--client"],
        ..of_kubernetes(
            "kubectl",
            "the command line of Kubernetes",
            "k8s.io/kubernetes/cmd/kubectl",
            "half a minute",
        )
    },
    of_kubernetes(
        "kube-controller-manager",
        "what keeps a cluster as it is told to be",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        "about a minute",
    ),
    of_kubernetes(
        "kube-scheduler",
        "what gives pods their nodes",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        "some seconds",
    ),
    of_kubernetes(
        "kubelet",
        "what runs the pods of a node",
        "k8s.io/kubernetes/cmd/kubelet",
        "half a minute",
    ),
    Binary {
        name: "helm",
        purpose: "what installs charts",
        version: "3.19.2",
        series: "3",
        ask: &["version", "--short"],
        module: &HELM,
        package: "helm.sh/helm/v3/cmd/helm",
        set: &["helm.sh/helm/v3/internal/version.version=v3.19.2"],
        time: "about a minute",
    },
    Binary {
        name: "coredns",
        purpose: "the name server of clusters",
        version: "1.13.1",
        series: "1",
        ask: &["--version"],
        module: &COREDNS,
        package: "github.com/coredns/coredns",
        set: &[],
        time: "about two minutes",
    },
];

impl Binary {
    pub fn named(name: &str) -> Option<&'static Binary> {
        ALL.iter().find(|binary| binary.name == name)
    }
}
