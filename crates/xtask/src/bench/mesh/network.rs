//! A network namespace of one node, in which whatever is started reaches nothing but itself.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The node's address, at a device that leads nowhere.
pub const NODE: &str = "172.29.200.1";

/// Does something in such a namespace, which goes with the last process that was started there.
pub fn inside<T: Send>(act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let namespace = make()?;
    let entered = || {
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(namespace.as_fd(), kind).context("entering a namespace")?;
        act()
    };
    thread::scope(|scope| scope.spawn(entered).join()).map_err(|_| anyhow!("a thread panicked"))?
}

fn make() -> Result<File> {
    let furnish = format!(
        "ip link set lo up && ip link add eth0 type veth peer name switch && ip address add {NODE}/24 dev eth0 && \
         ip link set eth0 up && ip link set switch up && echo furnished && read end"
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &furnish]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting `unshare`, of util-linux")?;
    let output = child.stdout.take().context("no pipe from a namespace")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let namespace = File::open(format!("/proc/{}/ns/net", child.id()));
    // It waits for nothing but this.
    drop(child.stdin.take());
    child.wait()?;
    if line.trim() != "furnished" {
        bail!("a network namespace can't be made, see above: `ip` and `unshare` are needed");
    }
    namespace.context("opening a namespace")
}
