//! What can go wrong between the agent and the kernel, each with what to do next.

use aya::{EbpfError, maps::MapError, pin::PinError, programs::ProgramError};
use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("missing {missing}: run the agent as root, or give its container these capabilities")]
    Capabilities { missing: String },
    #[error("kernel {major}.{minor} is too old: Tombolo needs Linux 6.6 or newer")]
    Kernel { major: u32, minor: u32 },
    #[error("the kernel has no BTF: boot one that is built with CONFIG_DEBUG_INFO_BTF=y")]
    Btf,
    #[error(
        "the kernel can't attach programs by tcx: boot one that is built with CONFIG_NET_XGRESS=y"
    )]
    Tcx(#[source] io::Error),
    #[error("{path} is not on a bpf file system: run `mount -t bpf bpf /sys/fs/bpf`")]
    NotBpffs { path: PathBuf },
    #[error("cannot make the folder {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("no device {name}: name the node's underlay device with --uplink")]
    NoDevice { name: String },
    #[error("the kernel refused the programs")]
    Load(#[source] Box<EbpfError>),
    #[error("the kernel refused the program {name}")]
    Program {
        name: &'static str,
        source: Box<ProgramError>,
    },
    #[error("cannot attach {program} to {device}")]
    Attach {
        program: &'static str,
        device: String,
        source: Box<ProgramError>,
    },
    #[error("cannot open the control group {path}")]
    Group { path: PathBuf, source: io::Error },
    #[error("cannot pin {path}")]
    Pin {
        path: PathBuf,
        source: Box<PinError>,
    },
    #[error("map {map}: {operation} failed")]
    Map {
        map: &'static str,
        operation: &'static str,
        source: Box<MapError>,
    },
    #[error("map {map}: writing failed")]
    Write {
        map: &'static str,
        source: io::Error,
    },
    #[error(
        "there is no room for more than {max} backends: give the agent a larger --backend-table-size (in the chart: bpf.lbMapMax)"
    )]
    BackendsFull { max: usize },
    #[error("the programs lack {name}: the build is broken")]
    Missing { name: &'static str },
    #[error("endpoint {id} is beyond the table of {max}")]
    EndpointRange { id: u16, max: u32 },
    #[error("a record of {length} bytes is longer than {max}")]
    Record { length: usize, max: usize },
    #[error("no device with index {ifindex}: the pod's interface is gone")]
    NoInterface { ifindex: u32 },
    #[error(
        "cannot open the device {device}: another VXLAN device has UDP port {port}; find it by `ip -d link show type vxlan` and delete it"
    )]
    VxlanPort {
        device: &'static str,
        port: u16,
        source: tombolo_linux::Error,
    },
    #[error("the table of {pool} names a backend that the kernel has not taken")]
    NoBackend { pool: String },
    #[error(transparent)]
    Linux(#[from] tombolo_linux::Error),
    #[error("{operation}")]
    Io {
        operation: &'static str,
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn map(
        map: &'static str,
        operation: &'static str,
    ) -> impl FnOnce(MapError) -> Error {
        move |source| Error::Map {
            map,
            operation,
            source: Box::new(source),
        }
    }
}
