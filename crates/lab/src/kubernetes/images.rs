//! The images that every node of the lab has from the start, and those of its user.

use super::{disk, node};
use crate::{
    Error,
    error::Result,
    image::{self, Image, Layer, with_libraries},
    machine,
    plan::NodeId,
    pod::PLUGIN,
    process::{beside_own_program, own_program, run_tool},
    state::{Lab, Role, State},
};
use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

const SHELL: &str = "tombolo.io/shell:1";
const ECHO: &str = "tombolo.io/echo:1";
/// Waits for the end, and for the ends of those that nobody else waits for.
const PAUSE: &str = "trap 'exit 0' TERM INT; while :; do sleep 2147483647 & wait; done";
const PATH: &str = "/usr/bin:/bin";

/// Tombolo's own image, of the build that runs.
pub fn own() -> String {
    format!("tombolo.io/tombolo:{}", env!("CARGO_PKG_VERSION"))
}

/// Writes an archive with all of them.
fn write(lab: &str) -> Result<PathBuf> {
    let busybox = busybox()?;
    let small = Layer::default()
        .program("bin/busybox", &busybox)
        .link("bin/sh", "busybox")
        .link("bin/sleep", "busybox");
    let shell = shell(&busybox)?;
    let programs = [
        ("tombolo", own_program()?),
        (PLUGIN, beside_own_program(PLUGIN)?),
    ];
    let tombolo = with_libraries(Layer::default().folder("tmp", 0o1777), &programs)?;
    let image = |name: &str, layer, entrypoint: &[&str]| Image {
        name: name.to_owned(),
        layers: vec![layer],
        entrypoint: entrypoint.iter().map(|word| (*word).to_owned()).collect(),
        path: PATH,
    };
    let images = [
        image(node::PAUSE, &small, &["/bin/sh", "-c", PAUSE]),
        image(SHELL, &shell, &["/bin/sh"]),
        image(ECHO, &tombolo, &["/usr/bin/tombolo", "lab", "echo"]),
        image(&own(), &tombolo, &["/usr/bin/tombolo"]),
    ];
    let file = disk(lab).join("images.tar");
    image::write(&images, &file)?;
    Ok(file)
}

fn busybox() -> Result<PathBuf> {
    let places = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    let found = places.into_iter().find(|place| place.is_file());
    found.ok_or(Error::NoTool {
        tool: "busybox",
        package: "busybox-static",
        source: std::io::ErrorKind::NotFound.into(),
    })
}

/// Everything that busybox can be, and who root is.
fn shell(busybox: &Path) -> Result<Layer> {
    let mut layer = Layer::default()
        .program("bin/busybox", busybox)
        .text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        .text("etc/group", "root:x:0:\n")
        .folder("root", 0o700)
        .folder("tmp", 0o1777);
    let output = run_tool("busybox", Command::new(busybox).arg("--list"))?;
    for name in String::from_utf8_lossy(&output.stdout).lines() {
        if name != "busybox" {
            layer = layer.link(&format!("bin/{name}"), "busybox");
        }
    }
    Ok(layer)
}

/// Starts the runtimes of all nodes, with the lab's own images: one imports them, the others get what came of that.
pub fn provide(lab: &mut Lab) -> Result<()> {
    let nodes: Vec<NodeId> = lab.shape.nodes().collect();
    let (first, others) = nodes
        .split_first()
        .expect("a shape was checked to have nodes");
    start(lab, *first)?;
    let archive = write(&lab.name)?;
    load(lab, &[*first], &archive)?;
    // What it knows of images is whole on disk only once it has ended.
    machine::stop(lab, (*first).into(), Role::Containerd)?;
    let folder = |node: NodeId| disk(&lab.name).join(node.to_string());
    for node in others {
        share(&folder(*first), &folder(*node))?;
    }
    fs::remove_file(&archive).map_err(Error::file("remove", &archive))?;
    for node in &nodes {
        machine::start(lab, (*node).into(), Role::Containerd)?;
    }
    let mut nodes = nodes.iter();
    nodes.try_for_each(|node| machine::wait_until_ready(lab, (*node).into(), Role::Containerd))
}

fn start(lab: &mut Lab, node: NodeId) -> Result<()> {
    machine::start(lab, node.into(), Role::Containerd)?;
    machine::wait_until_ready(lab, node.into(), Role::Containerd)
}

/// Gives a runtime that does not run what another one has. Files of images are never written to, so both have the same;
/// what is written to is copied.
fn share(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).map_err(Error::file("list", from))?;
    for entry in entries {
        let entry = entry.map_err(Error::file("list", from))?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        let fail = || Error::file("write", &copy);
        let status = entry.metadata().map_err(fail())?;
        let is_database = path.extension().is_some_and(|kind| kind == "db");
        if status.is_dir() {
            fs::create_dir_all(&copy).map_err(fail())?;
            fs::set_permissions(&copy, status.permissions()).map_err(fail())?;
            share(&path, &copy)?;
        } else if status.is_symlink() {
            let target = fs::read_link(&path).map_err(fail())?;
            symlink(target, &copy).map_err(fail())?;
        } else if is_database {
            fs::copy(&path, &copy).map_err(fail())?;
        } else if status.is_file() {
            fs::hard_link(&path, &copy).map_err(fail())?;
        }
    }
    Ok(())
}

/// Gives an archive of images to the runtime of each node, all at once.
pub fn load(state: &State, nodes: &[NodeId], archive: &Path) -> Result<()> {
    thread::scope(|scope| {
        let loads = nodes
            .iter()
            .map(|node| scope.spawn(|| load_one(state, *node, archive)));
        let loads: Vec<_> = loads.collect();
        let results = loads.into_iter().map(|load| {
            load.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        results.collect()
    })
}

fn load_one(state: &State, node: NodeId, archive: &Path) -> Result<()> {
    let file = File::open(archive).map_err(Error::file("open", archive))?;
    let ctr = state.kubernetes.binaries.get("ctr");
    let ctr = ctr.expect("a lab remembers its programs");
    let words = state.namespaces_of(node)?.words();
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .arg(ctr)
        .args(["--address", node::RUNTIME, "--namespace", "k8s.io"])
        .args(["images", "import", "-"])
        .stdin(Stdio::from(file));
    run_tool("ctr", &mut command).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    #[test]
    fn what_is_shared_is_there_once_but_for_databases() {
        let folder = std::env::temp_dir().join(format!("tombolo-{}-share", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        fs::create_dir_all(from.join("tmp")).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::set_permissions(from.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        for name in ["tmp/file", "meta.db"] {
            fs::write(from.join(name), name).unwrap();
        }
        symlink("file", from.join("tmp/link")).unwrap();
        share(&from, &to).unwrap();
        let number = |path: PathBuf| fs::metadata(path).unwrap().ino();
        assert_eq!(number(from.join("tmp/file")), number(to.join("tmp/link")));
        assert_ne!(number(from.join("meta.db")), number(to.join("meta.db")));
        assert_eq!(
            fs::metadata(to.join("tmp")).unwrap().mode() & 0o7777,
            0o1777
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
