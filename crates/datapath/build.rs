//! Compiles the kernel programs and leaves them in `$OUT_DIR/tombolo-programs`.
//!
//! The programs need a compiler that has `core` for the BPF target. One of these is taken, in this order:
//!
//! 1. the rustup toolchain named by `TOMBOLO_BPF_TOOLCHAIN`
//! 2. rustup's `nightly`, if it has rust-src
//! 3. a distribution's rustc with a prebuilt core for BPF (Debian: rustc-web and libstd-rust-web-dev-bpf)
//!
//! It installs nothing: that is `cargo xtask setup`.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};

use anyhow::Context as _;
use aya_build::{Package, Toolchain};

const DISTRIBUTION_COMPILERS: [&str; 2] = ["/usr/bin/rustc", "/usr/local/bin/rustc"];

/// Names the toolchain to the second run of this script, whose environment the first one has prepared.
const PREPARED: &str = "TOMBOLO_BPF_PREPARED";

#[expect(
    clippy::disallowed_methods,
    reason = "the input of a build script is its environment"
)]
fn main() -> anyhow::Result<()> {
    if let Ok(toolchain) = env::var(PREPARED) {
        return compile(&toolchain);
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../ebpf");
    println!("cargo:rerun-if-changed=../abi");
    println!("cargo:rerun-if-env-changed=TOMBOLO_BPF_TOOLCHAIN");

    let mut again = Command::new(env::current_exe()?);
    let linker = linker().context("bpf-linker is missing: run `cargo xtask setup`")?;
    again.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker);

    if let Ok(name) = env::var("TOMBOLO_BPF_TOOLCHAIN") {
        again.env(PREPARED, name);
    } else if nightly_has_source() {
        again.env(PREPARED, "nightly");
    } else {
        let compiler = DISTRIBUTION_COMPILERS
            .iter()
            .map(Path::new)
            .find(|rustc| has_bpf_core(rustc))
            .context("no Rust compiler for eBPF on this machine: run `cargo xtask setup`")?;
        again.env(PREPARED, "without rustup");
        show_only(compiler, &mut again);
    }
    run(&mut again)
}

fn compile(toolchain: &str) -> anyhow::Result<()> {
    let programs = Package {
        name: "tombolo-ebpf",
        root_dir: "../ebpf",
        ..Package::default()
    };
    aya_build::build_ebpf([programs], Toolchain::Custom(toolchain))
}

/// Makes `compiler` and its cargo the only ones that aya-build can find.
/// aya-build goes through rustup whenever rustup is on the path, and rustup's variables outlive its proxies.
fn show_only(compiler: &Path, command: &mut Command) {
    let mut path = OsString::from(compiler.parent().unwrap_or(Path::new("/")));
    path.push(":/usr/bin:/bin");
    command
        .env("PATH", path)
        // Unlocks unstable features for this crate alone: it uses `asm_experimental_arch`.
        .env("RUSTC_BOOTSTRAP", "aya_ebpf")
        .env_remove("CARGO")
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("RUSTC")
        .env_remove("RUSTDOC")
        .env_remove("RUSTUP_TOOLCHAIN");
}

/// Runs this script again and hands on what it says, but for cargo's progress, which aya-build passes off as warnings.
fn run(again: &mut Command) -> anyhow::Result<()> {
    // Cargo asks build scripts for backtraces, which would bury the compiler's message.
    again.env_remove("RUST_BACKTRACE");
    let mut child = again.stdout(Stdio::piped()).spawn()?;
    let said = child.stdout.take().context("no pipe to the second run")?;
    for line in BufReader::new(said).lines() {
        let line = line?;
        if !is_progress(&line) {
            println!("{line}");
        }
    }
    if !child.wait()?.success() {
        eprintln!("error: the kernel programs (crates/ebpf) do not compile, see above");
        exit(1);
    }
    Ok(())
}

fn is_progress(line: &str) -> bool {
    const VERBS: [&str; 9] = [
        "Adding",
        "Blocking",
        "Compiling",
        "Downloaded",
        "Downloading",
        "Finished",
        "Fresh",
        "Locking",
        "Updating",
    ];
    let text = line.strip_prefix("cargo:warning=");
    let first = text.map(|text| text.split_whitespace().next());
    match first {
        Some(Some(word)) => VERBS.contains(&word) || word.starts_with("which("),
        Some(None) => true,
        None => false,
    }
}

fn linker() -> Option<PathBuf> {
    let home = env::var_os("HOME").map(PathBuf::from);
    let kept = [".cache/tombolo/bin", ".cargo/bin"]
        .into_iter()
        .filter_map(|folder| Some(home.as_ref()?.join(folder)));
    let on_path: Vec<_> = env::split_paths(&env::var_os("PATH")?).collect();
    kept.chain(on_path)
        .map(|folder| folder.join("bpf-linker"))
        .find(|file| file.is_file())
}

fn nightly_has_source() -> bool {
    let sysroot =
        answer(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]));
    sysroot.is_some_and(|root| {
        Path::new(&root)
            .join("lib/rustlib/src/rust/library/Cargo.lock")
            .exists()
    })
}

fn has_bpf_core(rustc: &Path) -> bool {
    let folder = answer(
        Command::new(rustc)
            .args(["--print", "target-libdir", "--target", "bpfel-unknown-none"])
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("LD_LIBRARY_PATH"),
    );
    let Some(Ok(files)) = folder.map(std::fs::read_dir) else {
        return false;
    };
    files
        .flatten()
        .any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
}

fn answer(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
