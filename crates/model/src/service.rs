//! Services: what their clients know them by, what answers for them, and which of that gets traffic from this node.
//!
//! ```text
//!  own Services ────────► Definition ─┐
//!  own EndpointSlices ─┐              ├─► Pool: one for each port and family ─► rows: frontends, backends
//!  peers' records ─────┴► Offer ──────┘
//! ```
//! A service is made of what its own cluster defines and of what any cluster offers under the same namespace and name.
//! Who gets what is decided in one place (`pool`), for the kernel and for those who ask why. One changed endpoint
//! touches the rows of its own backends alone, unless it was the first or the last of its kind.

mod annotation;
mod balance;
mod check;
mod claims;
mod explain;
mod grade;
mod hint;
pub mod maglev;
mod merge;
mod names;
mod offer;
mod pool;
mod rule;
mod silent;
mod sources;
#[cfg(test)]
mod tests;

pub use annotation::{Affinity, Sharing, weight};
pub use balance::{Algorithm, Balancing};
pub use check::Check;
pub use grade::Grades;
pub use hint::Hints;
pub(crate) use merge::{Format, Here, Place, Row, Services};
pub use offer::{Offer, Offered, OfferedPort, State};
pub(crate) use pool::Pool;
pub(crate) use silent::Silent;
pub use sources::{Barred, Sources};

use crate::{id::ClusterId, record::Namespaced};
use ipnet::IpNet;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// A backend's weight if nothing is said.
pub const WEIGHT_DEFAULT: u16 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// Where clients think that a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frontend {
    pub ip: IpAddr,
    pub port: u16,
    pub protocol: Protocol,
}

/// Where something answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    pub ip: IpAddr,
    pub port: u16,
}

/// Where a frontend leads to, as the kernel must know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrontendPath {
    /// By its name: the frontend that is the service's own.
    pub pool: Frontend,
    /// For how long after its last connection a client is led to the same backend; 0 for not at all.
    pub affinity_s: u32,
    /// Questions for names are asked there: the agent answers them while it runs.
    pub agent_answers: bool,
    /// The pool for what comes to the node from outside, if anything may.
    pub outside: Option<Frontend>,
    /// Who may come from outside, sorted; anybody if it is absent.
    pub sources: Option<Arc<[IpNet]>>,
    /// Who of this node may not.
    pub barred: Barred,
}

/// A backend of a pool, as the kernel must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackendPath {
    pub cluster: ClusterId,
    /// Against the others'; 0 when it keeps what it has and takes nothing new.
    pub weight: u16,
    /// Nobody answers where it is, and others take its place: it keeps nothing.
    pub lost: bool,
}

/// A service as its own cluster has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// None if it is headless.
    pub cluster_ips: Vec<IpAddr>,
    /// Addresses of load balancers that lead here.
    pub balancer_ips: Vec<IpAddr>,
    pub external_ips: Vec<IpAddr>,
    pub ports: Vec<ServicePort>,
    pub sharing: Sharing,
    pub grades: Grades,
    /// As in [`FrontendPath`].
    pub affinity_s: u32,
    /// Clients of this node are answered on this node or not at all.
    pub node_only: bool,
    pub naming: Naming,
    /// The node's own if nothing is said.
    pub algorithm: Option<Algorithm>,
    /// What comes from outside is answered on the node that it comes to or not at all.
    pub outside_node_only: bool,
    /// Whom the load balancers' addresses are for; for anybody if it is absent.
    pub balancer_sources: Option<Sources>,
    /// Where balancers ask whether this node has backends of it.
    pub check_port: Option<u16>,
    /// What of it can't be followed, a sentence each.
    pub problems: Vec<String>,
}

/// What a service's name stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// Its own addresses.
    #[default]
    Addresses,
    /// Those of its endpoints: it is headless.
    Endpoints,
    /// Something that is not known here.
    Elsewhere,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Empty if it has none.
    pub name: String,
    pub protocol: Protocol,
    pub port: u16,
    /// The port at every node's own addresses.
    pub node_port: Option<u16>,
}

/// By what an address is a service's. The first has it, where several claim it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    ClusterIp,
    LoadBalancer,
    ExternalIp,
    NodePort,
}

impl Protocol {
    /// As IP has it.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }

    pub fn from_number(number: u8) -> Option<Protocol> {
        match number {
            6 => Some(Protocol::Tcp),
            17 => Some(Protocol::Udp),
            _ => None,
        }
    }

    /// As Kubernetes has it; nothing for a protocol that can't be led to backends.
    pub fn from_word(word: &str) -> Option<Protocol> {
        match word {
            "TCP" => Some(Protocol::Tcp),
            "UDP" => Some(Protocol::Udp),
            _ => None,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        }
    }
}

impl FrontendPath {
    /// For the node and its pods alone.
    pub fn inside(pool: Frontend) -> FrontendPath {
        FrontendPath {
            pool,
            affinity_s: 0,
            agent_answers: false,
            outside: None,
            sources: None,
            barred: Barred::default(),
        }
    }
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = SocketAddr::new(self.ip, self.port);
        write!(f, "{address}/{}", self.protocol.word())
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip, self.port).fmt(f)
    }
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Kind::ClusterIp => "ClusterIP",
            Kind::LoadBalancer => "LoadBalancer",
            Kind::ExternalIp => "ExternalIP",
            Kind::NodePort => "NodePort",
        }
    }
}

impl Definition {
    /// Whom an address is for that is the service's by `kind`; for anybody if nothing is said.
    fn sources_at(&self, kind: Kind, ip: IpAddr) -> Option<&Arc<[IpNet]>> {
        match kind {
            Kind::LoadBalancer => self.balancer_sources.as_ref()?.at(ip),
            _ => None,
        }
    }

    /// Where the service is, port by port, on a node with these addresses.
    fn frontends<'a>(
        &'a self,
        node: &'a [IpAddr],
    ) -> impl Iterator<Item = (Kind, Frontend, &'a ServicePort)> {
        let at = |kind, ips: &'a [IpAddr]| {
            ips.iter().flat_map(move |ip| {
                self.ports.iter().filter_map(move |port| {
                    let number = match kind {
                        Kind::NodePort => port.node_port?,
                        _ => port.port,
                    };
                    let frontend = Frontend {
                        ip: *ip,
                        port: number,
                        protocol: port.protocol,
                    };
                    Some((kind, frontend, port))
                })
            })
        };
        at(Kind::ClusterIp, &self.cluster_ips)
            .chain(at(Kind::LoadBalancer, &self.balancer_ips))
            .chain(at(Kind::ExternalIp, &self.external_ips))
            .chain(at(Kind::NodePort, node))
    }
}

/// How a service is called in what is said of it.
fn full_name(name: &Namespaced) -> String {
    format!("{}/{}", name.namespace, name.name)
}
