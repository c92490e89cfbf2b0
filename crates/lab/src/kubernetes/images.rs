//! The images that every node of the lab has from the start, and those of its user.

mod kept;

use super::{at_once::at_once, disk, node};
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
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use kept::Kept;

const SHELL: &str = "tombolo.io/shell:1";
pub const ECHO: &str = "tombolo.io/echo:1";
pub const COREDNS: &str = "tombolo.io/coredns:1";
/// Waits for the end, and for the ends of those that nobody else waits for.
const PAUSE: &str = "trap 'exit 0' TERM INT; while :; do sleep 2147483647 & wait; done";
const PATH: &str = "/usr/bin:/bin";

/// Tombolo's own image, of the build that runs.
pub fn own() -> String {
    format!("tombolo.io/tombolo:{}", env!("CARGO_PKG_VERSION"))
}

/// Writes an archive with all of them.
fn write(lab: &str, coredns: &Path) -> Result<PathBuf> {
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
    let coredns = Layer::default().program("usr/bin/coredns", coredns);
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
        image(COREDNS, &coredns, &["/usr/bin/coredns"]),
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

/// Starts the runtimes of nodes, with the lab's own images.
pub fn provide(lab: &mut Lab, nodes: &[NodeId]) -> Result<()> {
    let kept = Kept::open(&made_of(lab)?)?;
    for node in nodes {
        fill(lab, *node, &kept)?;
    }
    drop(kept);
    for node in nodes {
        machine::start(lab, (*node).into(), Role::Containerd)?;
    }
    let mut nodes = nodes.iter();
    nodes.try_for_each(|node| machine::wait_until_ready(lab, (*node).into(), Role::Containerd))
}

/// What images are made of, and by what.
fn made_of(state: &State) -> Result<[PathBuf; 5]> {
    Ok([
        own_program()?,
        beside_own_program(PLUGIN)?,
        busybox()?,
        program(state, "coredns"),
        program(state, Role::Containerd.name()),
    ])
}

fn program(state: &State, name: &str) -> PathBuf {
    let path = state.kubernetes.binaries.get(name);
    path.expect("a lab remembers its programs").clone()
}

/// Gives a node whose runtime does not run the images that are kept, or makes them there, to be kept.
fn fill(lab: &mut Lab, node: NodeId, kept: &Kept) -> Result<()> {
    let folder = disk(&lab.name).join(node.to_string());
    if kept.is_there() {
        return kept.give(&folder);
    }
    machine::start(lab, node.into(), Role::Containerd)?;
    machine::wait_until_ready(lab, node.into(), Role::Containerd)?;
    let archive = write(&lab.name, &program(lab, "coredns"))?;
    load(lab, &[node], &archive)?;
    fs::remove_file(&archive).map_err(Error::file("remove", &archive))?;
    // What it knows of images is whole on disk only once it has ended.
    machine::stop(lab, node.into(), Role::Containerd)?;
    kept.put(&folder)
}

/// Gives an archive of images to the runtime of each node, all at once.
pub fn load(state: &State, nodes: &[NodeId], archive: &Path) -> Result<()> {
    at_once(nodes, |node| load_one(state, *node, archive)).map(drop)
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
