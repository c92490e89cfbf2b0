//! Which programs there are, at which versions, how Go builds each, and where its project has built it.
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

/// Where a project has its own builds of a version, `{version}` and `{arch}` standing for what they are.
#[derive(Debug)]
pub struct Release {
    pub url: &'static str,
    /// Where its SHA-256 is: ends as the address of the file does, or a file beside it.
    pub checksum: Checksum,
    /// The program's path in the archive; the file is the program itself if there is none.
    pub member: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
pub enum Checksum {
    Ending(&'static str),
    Beside(&'static str),
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
    pub release: Release,
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

/// All programs of Kubernetes are published alike.
macro_rules! of_kubernetes {
    ($name:literal, $purpose:literal, $time:literal $(,)?) => {
        program_of_kubernetes(
            $name,
            $purpose,
            concat!("k8s.io/kubernetes/cmd/", $name),
            concat!(
                "https://dl.k8s.io/release/v{version}/bin/linux/{arch}/",
                $name
            ),
            $time,
        )
    };
}

const fn program_of_kubernetes(
    name: &'static str,
    purpose: &'static str,
    package: &'static str,
    url: &'static str,
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
        release: Release {
            url,
            checksum: Checksum::Ending(".sha256"),
            member: None,
        },
        time,
    }
}

const fn of_etcd(
    name: &'static str,
    purpose: &'static str,
    ask: &'static [&'static str],
    package: &'static str,
    member: &'static str,
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
        release: Release {
            url: "https://github.com/etcd-io/etcd/releases/download/v{version}/etcd-v{version}-linux-{arch}.tar.gz",
            checksum: Checksum::Beside("SHA256SUMS"),
            member: Some(member),
        },
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
        "etcd-v{version}-linux-{arch}/etcd",
        "about a minute",
    ),
    of_etcd(
        "etcdctl",
        "etcd's command line",
        &["version"],
        "go.etcd.io/etcd/etcdctl/v3",
        "etcd-v{version}-linux-{arch}/etcdctl",
        "some seconds",
    ),
    of_kubernetes!(
        "kube-apiserver",
        "the API of Kubernetes",
        "about three minutes",
    ),
    Binary {
        ask: &["version", "--client"],
        ..of_kubernetes!("kubectl", "the command line of Kubernetes", "half a minute",)
    },
    of_kubernetes!(
        "kube-controller-manager",
        "what keeps a cluster as it is told to be",
        "about a minute",
    ),
    of_kubernetes!(
        "kube-scheduler",
        "what gives pods their nodes",
        "some seconds",
    ),
    of_kubernetes!("kubelet", "what runs the pods of a node", "half a minute",),
    Binary {
        name: "helm",
        purpose: "what installs charts",
        version: "3.19.2",
        series: "3",
        ask: &["version", "--short"],
        module: &HELM,
        package: "helm.sh/helm/v3/cmd/helm",
        set: &["helm.sh/helm/v3/internal/version.version=v3.19.2"],
        release: Release {
            url: "https://get.helm.sh/helm-v{version}-linux-{arch}.tar.gz",
            checksum: Checksum::Ending(".sha256sum"),
            member: Some("linux-{arch}/helm"),
        },
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
        release: Release {
            url: "https://github.com/coredns/coredns/releases/download/v{version}/coredns_{version}_linux_{arch}.tgz",
            checksum: Checksum::Ending(".sha256"),
            member: Some("coredns"),
        },
        time: "about two minutes",
    },
];

impl Binary {
    pub fn named(name: &str) -> Option<&'static Binary> {
        ALL.iter().find(|binary| binary.name == name)
    }
}
