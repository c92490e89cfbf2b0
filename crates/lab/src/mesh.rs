//! What makes a mesh of clusters: each has an authority of its own, and files that say how to reach the others' stores.
//!
//! ```text
//!   kvstoremesh   agents ── local certificate ──► own store ◄── own kvstoremesh ── remote certificate ──► others' stores
//!   direct        agents ── local certificate ──► own store
//!                 agents ── remote certificate ──► others' stores
//! ```
//! A folder of such files is as upstream's: one for each peer, by the cluster's name, with its certificates beside it.

use crate::{
    Error,
    error::Result,
    inside,
    plan::{MachineId, Mesh, cluster_name},
    programs::STORE_PORT,
    state::{Lab, State, write_whole},
};
use std::{fs, io::ErrorKind, path::Path};

pub const CERTIFICATES: &str = "/var/lib/tombolo/certificates";
/// Manifests of the cluster's objects, on its control machine.
pub const OBJECTS: &str = "/run/lab/objects";
/// Files of the peers that programs of this machine read.
pub const PEERS: &str = "/run/lab/clustermesh";
/// How to reach the own cluster's store.
pub const OWN_STORE: &str = "/run/lab/own/store";

/// A certificate with its key, and the authority of whom it is shown to.
struct Credentials {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Gives a cluster its authority, its programs and agents the way to its store, and a folder for its objects.
pub fn found(state: &State, cluster: u8) -> Result<()> {
    let control = MachineId::Control(cluster);
    let name = cluster_name(cluster);
    certificates(state, cluster, &["init", "--cluster-name", &name])?;
    make_folder(state, control, OBJECTS)?;
    write_own_store(state, control, &credentials(state, cluster, "admin")?)?;
    let local = credentials(state, cluster, "local")?;
    for machine in state.shape.machines() {
        if let MachineId::Node(node) = machine
            && node.cluster == cluster
        {
            write_own_store(state, machine, &local)?;
        }
        if machine.cluster() == cluster {
            make_folder(state, machine, PEERS)?;
        }
    }
    Ok(())
}

/// Has two clusters know each other, and waits for nothing.
pub fn connect(lab: &mut Lab, a: u8, b: u8) -> Result<()> {
    write_files(lab, a, b)?;
    lab.state.strangers.remove(&(a.min(b), a.max(b)));
    lab.save()
}

/// Has two clusters forget each other.
pub fn disconnect(lab: &mut Lab, a: u8, b: u8) -> Result<()> {
    remove_files(lab, a, b)?;
    lab.state.strangers.insert((a.min(b), a.max(b)));
    lab.save()
}

/// Files of two clusters of each other's stores, with new certificates.
pub fn write_files(state: &State, a: u8, b: u8) -> Result<()> {
    for (reader, peer) in [(a, b), (b, a)] {
        let user = format!("remote-{}", cluster_name(reader));
        certificates(state, peer, &["issue", &user])?;
        let remote = credentials(state, peer, &user)?;
        let local = credentials(state, reader, "local")?;
        for (machine, store) in readers(state, reader, peer) {
            let credentials = if store == reader { &local } else { &remote };
            let folder = state.path_in(machine, PEERS)?;
            write_store(state, &folder, &cluster_name(peer), store, credentials)?;
        }
    }
    Ok(())
}

fn remove_files(state: &State, a: u8, b: u8) -> Result<()> {
    for (reader, peer) in [(a, b), (b, a)] {
        let name = cluster_name(peer);
        for (machine, _) in readers(state, reader, peer) {
            let folder = state.path_in(machine, PEERS)?;
            // First the file that leads to the others.
            for file in [name.clone()].into_iter().chain(beside(&name)) {
                let path = folder.join(file);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(Error::file("remove", path)(error));
                    }
                    _ => {}
                }
            }
        }
        let user = format!("remote-{}", cluster_name(reader));
        certificates(state, peer, &["revoke", &user])?;
    }
    Ok(())
}

/// Machines of a cluster that have a file of the peer, and the cluster whose store it leads to.
fn readers(state: &State, reader: u8, peer: u8) -> Vec<(MachineId, u8)> {
    let mesh = state.shape.mesh;
    let machines = state.shape.machines();
    let machines = machines.filter(|machine| machine.cluster() == reader);
    let store = |machine: MachineId| match (machine, mesh) {
        (MachineId::Node(_), Mesh::Kvstoremesh) => Some((machine, reader)),
        (MachineId::Control(_), Mesh::Kvstoremesh) => Some((machine, peer)),
        (MachineId::Node(_), Mesh::Direct) => Some((machine, peer)),
        (MachineId::Control(_), Mesh::Direct) | (_, Mesh::Facts) => None,
    };
    machines.filter_map(store).collect()
}

/// Whether two clusters are to know of each other's pods.
pub fn acquainted(state: &State, a: u8, b: u8) -> bool {
    a == b || !state.strangers.contains(&(a.min(b), a.max(b)))
}

pub fn check_meshed(lab: &Lab, what: &'static str) -> Result<()> {
    match lab.shape.mesh {
        Mesh::Facts => Err(Error::NoMesh { what }),
        Mesh::Direct | Mesh::Kvstoremesh => Ok(()),
    }
}

/// The verb of `tombolo certificates`, on the machine where they are.
fn certificates(state: &State, cluster: u8, words: &[&str]) -> Result<()> {
    let control = MachineId::Control(cluster);
    let (verb, rest) = words.split_first().expect("callers give a verb");
    let all = [
        &["certificates", verb, "--certificates", CERTIFICATES],
        rest,
    ]
    .concat();
    inside::call(&state.words_in(control, &all)?).map(drop)
}

fn credentials(state: &State, cluster: u8, name: &str) -> Result<Credentials> {
    let folder = state.path_in(MachineId::Control(cluster), CERTIFICATES)?;
    let read = |file: &str| {
        let path = folder.join(file);
        fs::read(&path).map_err(Error::file("read", &path))
    };
    Ok(Credentials {
        authority: read("ca.crt")?,
        certificate: read(&format!("{name}.crt"))?,
        key: read(&format!("{name}.key"))?,
    })
}

fn write_own_store(state: &State, machine: MachineId, credentials: &Credentials) -> Result<()> {
    let path = Path::new(OWN_STORE);
    let (folder, name) = (path.parent(), path.file_name());
    let folder = folder.and_then(Path::to_str).expect("it is in a folder");
    let name = name.and_then(|name| name.to_str()).expect("it has a name");
    make_folder(state, machine, folder)?;
    let folder = state.path_in(machine, folder)?;
    write_store(state, &folder, name, machine.cluster(), credentials)
}

/// Authority, certificate and key, as upstream names them.
fn beside(name: &str) -> [String; 3] {
    ["-ca.crt", ".crt", ".key"].map(|kind| format!("{name}.etcd-client{kind}"))
}

/// A file that leads to a cluster's store; last, so that who reads it finds what it names.
fn write_store(
    state: &State,
    folder: &Path,
    name: &str,
    store: u8,
    credentials: &Credentials,
) -> Result<()> {
    let [authority, certificate, key] = beside(name);
    write_whole(&folder.join(&authority), &credentials.authority)?;
    write_whole(&folder.join(&certificate), &credentials.certificate)?;
    write_whole(&folder.join(&key), &credentials.key)?;
    let host = format!("{}.mesh.cilium.io", cluster_name(store));
    let addresses = state.shape.addresses(MachineId::Control(store));
    let addresses: Vec<String> = addresses.iter().map(|net| net.addr().to_string()).collect();
    let text = format!(
        "endpoints:\n- https://{host}:{STORE_PORT}\ntrusted-ca-file: {authority}\ncert-file: {certificate}\n\
         key-file: {key}\ncilium-host-aliases:\n- hostname: {host}\n  ips: [\"{}\"]\n",
        addresses.join("\", \"")
    );
    write_whole(&folder.join(name), text.as_bytes())
}

fn make_folder(state: &State, machine: MachineId, folder: &str) -> Result<()> {
    let path = state.path_in(machine, folder)?;
    fs::create_dir_all(&path).map_err(Error::file("create", path))
}
