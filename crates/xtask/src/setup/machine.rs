//! What the machine itself must offer. The version of Rust is cargo's to check, by `rust-version`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// A program that must be on the machine, and where it comes from.
pub struct Needed {
    pub program: &'static str,
    pub why: &'static str,
    pub packages: &'static [&'static str],
}

pub const PROGRAMS: [Needed; 9] = [
    needed("cc", "linker of every Rust program", &["gcc", "libc6-dev"]),
    needed(
        "ip",
        "benchmarks build their comparison networks with it",
        &["iproute2"],
    ),
    needed(
        "ping",
        "tests send plain pings between pods",
        &["iputils-ping"],
    ),
    needed(
        "containerd",
        "the runtime of the lab's nodes, which tests drive the CNI plugin with too",
        &["containerd"],
    ),
    needed("runc", "containerd starts containers with it", &["runc"]),
    needed(
        "busybox",
        "what small containers of labs and tests are made of",
        &["busybox-static"],
    ),
    needed(
        "dig",
        "tests ask the lab's name servers with it",
        &["bind9-dnsutils"],
    ),
    needed(
        "curl",
        "`tombolo lab --download` fetches programs with it, which a test has it do",
        &["curl"],
    ),
    needed(
        "update-ca-certificates",
        "downloads are checked against it",
        &["ca-certificates"],
    ),
];

const fn needed(
    program: &'static str,
    why: &'static str,
    packages: &'static [&'static str],
) -> Needed {
    Needed {
        program,
        why,
        packages,
    }
}

/// No program of PATH; the same places as `tombolo lab` looks in.
pub fn has_loopback_plugin() -> bool {
    ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"]
        .iter()
        .any(|folder| Path::new(folder).join("loopback").is_file())
}

const KERNEL_MIN: (u32, u32) = (6, 6);
const BTF: &str = "/sys/kernel/btf/vmlinux";

pub fn check() -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("Tombolo runs on Linux only: use a Linux machine or a virtual machine");
    }
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let version = version(&release)
        .with_context(|| format!("cannot read the kernel's version from `{release}`"))?;
    if version < KERNEL_MIN {
        let (major, minor) = KERNEL_MIN;
        bail!("the kernel is {release}: boot Linux {major}.{minor} or newer");
    }
    if !Path::new(BTF).exists() {
        bail!("{BTF} is missing: boot a kernel built with CONFIG_DEBUG_INFO_BTF=y");
    }
    // BTF lists every function of the kernel, and unlike a trial with bpf(2) reading it needs no privilege.
    if !contains(
        &fs::read(BTF).with_context(|| format!("reading {BTF}"))?,
        b"\0tcx_prog_attach\0",
    ) {
        bail!("the kernel has no tcx attachment for eBPF: boot one built with CONFIG_NET_XGRESS=y");
    }
    Ok(())
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[cfg(test)]
mod tests;
