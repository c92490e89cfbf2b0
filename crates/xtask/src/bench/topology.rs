//! The networks that are compared: two ends, and a different way between them for each side.
//!
//! All paths cross one veth between two nodes, and both ends have the same MTU on every side, since a larger packet
//! alone is worth more than any method.

pub mod kernel;
pub mod ours;

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What VXLAN over IPv4 leaves of an Ethernet's 1500 bytes.
const MTU: u32 = 1450;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// Node to node, no pods
    Host,
    /// Pod to pod, the kernel routes, no overlay
    Routed,
    /// Pod to pod, the kernel routes through its VXLAN device, all entries static
    Vxlan,
    /// Pod to pod across clusters by Tombolo, tunnel
    Tombolo,
    /// Pod to pod across clusters by Tombolo, native routing
    TomboloNative,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Routed => "routed",
            Self::Vxlan => "vxlan",
            Self::Tombolo => "tombolo",
            Self::TomboloNative => "tombolo-native",
        }
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Self::Tombolo | Self::TomboloNative)
    }
}

/// A network namespace and the address others reach it at.
pub struct End {
    namespace: File,
    pub address: Ipv4Addr,
}

impl End {
    pub fn open(namespace: &Path, address: Ipv4Addr) -> Result<Self> {
        let file = File::open(namespace)
            .with_context(|| format!("opening namespace {}", namespace.display()))?;
        Ok(Self {
            namespace: file,
            address,
        })
    }

    /// Moves the calling thread into the namespace, for good.
    pub fn enter(&self) -> Result<()> {
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(self.namespace.as_fd(), kind).context("entering a namespace")
    }

    /// Sets what /proc/sys has for this namespace.
    fn set(&self, name: &str, value: &str) -> Result<()> {
        let write = || {
            self.enter()?;
            fs::write(Path::new("/proc/sys").join(name), value)
                .with_context(|| format!("setting {name} to {value}"))
        };
        thread::scope(|scope| scope.spawn(write).join())
            .map_err(|_| anyhow!("a thread panicked"))?
    }

    /// Makes what TCP does here the same on every side and in every round.
    pub fn settle(&self) -> Result<()> {
        // What one connection learned about a path would change the next one.
        self.set("net/ipv4/tcp_no_metrics_save", "1")?;
        // Namespaces may only have what the machine allows them; reno is always among it.
        let cubic = self.set("net/ipv4/tcp_congestion_control", "cubic");
        cubic.or_else(|_| self.set("net/ipv4/tcp_congestion_control", "reno"))
    }
}

pub struct Ends {
    pub client: End,
    pub server: End,
}

/// A network of one side; dropping it takes it away.
pub struct Network {
    pub side: Side,
    pub ends: Ends,
    _owner: Owner,
}

#[expect(dead_code, reason = "held to be dropped")]
enum Owner {
    Kernel(kernel::Namespaces),
    Ours(ours::Lab),
}

impl Network {
    pub fn build(side: Side) -> Result<Self> {
        let (ends, owner) = match side {
            Side::Host | Side::Routed | Side::Vxlan => {
                let (ends, namespaces) = kernel::build(side)?;
                (ends, Owner::Kernel(namespaces))
            }
            Side::Tombolo | Side::TomboloNative => {
                let (ends, lab) = ours::build(side)?;
                (ends, Owner::Ours(lab))
            }
        };
        ends.client.settle()?;
        ends.server.settle()?;
        Ok(Self {
            side,
            ends,
            _owner: owner,
        })
    }
}
