//! Tools that come from source: each is built once and kept in the user's cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Missing, apt, say};
use crate::process::{answer, find, kept_tools, run};

const LLVM: &str = "/usr/lib/llvm-22";
const LLVM_PACKAGES: [&str; 5] = [
    "llvm-22-dev",
    "zlib1g-dev",
    "libzstd-dev",
    "libxml2-dev",
    "g++",
];

/// Whether the build script of `datapath` will find a compiler; the same places, in the same order.
pub fn has_bpf_compiler() -> bool {
    let nightly =
        answer(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]));
    if nightly.is_some_and(|root| {
        Path::new(root.trim())
            .join("lib/rustlib/src/rust/library/Cargo.lock")
            .exists()
    }) {
        return true;
    }
    ["/usr/bin/rustc", "/usr/local/bin/rustc"]
        .iter()
        .any(|rustc| {
            let mut query = Command::new(rustc);
            query
                .args(["--print", "target-libdir", "--target", "bpfel-unknown-none"])
                .env_remove("RUSTUP_TOOLCHAIN")
                .env_remove("LD_LIBRARY_PATH");
            let folder = answer(&mut query).map(|text| fs::read_dir(text.trim()));
            let Some(Ok(files)) = folder else {
                return false;
            };
            files
                .flatten()
                .any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
        })
}

/// A bpf-linker that cannot start (its LLVM is gone) does not count.
pub fn bpf_linker_works() -> bool {
    let kept = kept_tools().map(|folder| folder.join("bin/bpf-linker"));
    let cargo_home = kept
        .as_ref()
        .ok()
        .and_then(|kept| Some(kept.ancestors().nth(4)?.join(".cargo/bin/bpf-linker")));
    let first = kept
        .ok()
        .into_iter()
        .chain(cargo_home)
        .chain(find("bpf-linker"))
        .find(|file| file.is_file());
    first.is_some_and(|file| answer(Command::new(file).arg("--version")).is_some())
}

pub fn bpf_linker() -> Result<()> {
    const WHY: &str = "it links the kernel programs";
    if bpf_linker_works() {
        say("bpf-linker: present");
        return Ok(());
    }
    let mut arguments = vec!["bpf-linker", "--version", "0.13.0"];
    let llvm = llvm_is_here()?;
    if llvm {
        if bpf_linker_works() {
            say("bpf-linker: the kept one works again");
            return Ok(());
        }
        arguments.extend(["--no-default-features", "--features", "llvm-22"]);
    }
    say(&format!(
        "building bpf-linker, once, about three minutes: {WHY}"
    ));
    install(&arguments, llvm.then_some(("LLVM_PREFIX", LLVM)))
}

/// Installs LLVM's library where the distribution has the version that matches the compilers.
fn llvm_is_here() -> Result<bool> {
    if !apt::is_here() {
        return Ok(false);
    }
    if !apt::is_offered("llvm-22-dev") {
        apt::update()?;
    }
    if !apt::is_offered("llvm-22-dev") {
        return Ok(false);
    }
    apt::install(&[Missing {
        what: "LLVM 22",
        why: "bpf-linker generates code with it",
        packages: &LLVM_PACKAGES,
    }])?;
    Ok(true)
}

/// The path of cargo-deny, if it has been built.
pub fn kept_cargo_deny() -> Option<PathBuf> {
    let kept = kept_tools().ok()?.join("bin/cargo-deny");
    kept.is_file()
        .then_some(kept)
        .or_else(|| find("cargo-deny"))
}

pub fn cargo_deny() -> Result<()> {
    if kept_cargo_deny().is_some() {
        say("cargo-deny: present");
        return Ok(());
    }
    say(
        "building cargo-deny, once, some minutes: it checks licences and duplicates of dependencies in `cargo xtask ci`",
    );
    install(&["cargo-deny", "--version", "0.20.2"], None)
}

fn install(arguments: &[&str], variable: Option<(&str, &str)>) -> Result<()> {
    let place = kept_tools()?;
    fs::create_dir_all(&place).with_context(|| format!("creating {}", place.display()))?;
    // Outside of the repository, so that none of its cargo settings apply.
    let mut command = crate::process::cargo(&["install", "--locked", "--root"]);
    command
        .arg(&place)
        .args(arguments)
        .current_dir("/")
        .envs(variable);
    run(&mut command)
}
