//! The programs of a cluster: its store, what exports the cluster into it, what copies its peers into it, and what is done
//! once in a cluster.
//!
//! Composition only: `kvstore` and `clustermesh` decide, here they meet files, sockets, signals and the clock. What the
//! agent of a node shares with these programs is here too: supervision, logs, probes, and the folder of peers.

mod apiserver;
mod certificates;
mod folder;
mod handed;
mod http;
mod kubernetes;
mod kvstoremesh;
mod log;
mod metrics;
mod notice;
mod operator;
mod options;
mod peers;
mod rest;
mod stamp;
mod store;
mod supervise;
pub mod trust;
mod writing;

pub use apiserver::{ApiserverOptions, run as run_apiserver};
pub use certificates::{Certificates, Listed, days_left, epoch};
pub use folder::Folder;
pub use handed::{Handed, HandedOptions, SecretRef};
pub use http::{Answer, Pages, Server};
pub use kubernetes::{Feed, KubernetesOptions, Troubles};
pub use kvstoremesh::{KvstoremeshOptions, run as run_kvstoremesh};
pub use log::{LogFormat, start as start_log};
pub use metrics::Page;
pub use notice::Notice;
pub use operator::{
    GIVEN_PEERS, OperatorOptions, given_names, install_definitions, run as run_operator,
};
pub use options::random;
pub use peers::{FileConnect, Found, Peers, Role, render as render_peers};
pub use stamp::{micro_stamp, now as stamp_now, stamp};
pub use store::{StoreOptions, run as run_store};
pub use supervise::Supervisor;
