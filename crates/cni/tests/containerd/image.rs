//! An OCI image of one static busybox, made from nothing, so that the test needs no registry.

use super::shell;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

pub const NAME: &str = "localhost/busybox:test";

/// Writes the image into the folder; the answer is an archive for `ctr images import`.
pub fn write(folder: &Path) -> PathBuf {
    let image = folder.join("image");
    fs::create_dir_all(image.join("blobs/sha256")).expect("a folder for the image");
    let layer = Blobs(&image).add(&layer(folder));
    let config = Blobs(&image).add_json(&json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
        // The layer is not packed: its digest is also that of its content.
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }));
    let manifest = Blobs(&image).add_json(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": typed(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [typed(layer, "application/vnd.oci.image.layer.v1.tar")],
    }));
    let mut entry = typed(manifest, "application/vnd.oci.image.manifest.v1+json");
    entry["annotations"] = json!({"io.containerd.image.name": NAME});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(image.join("index.json"), index.to_string()).expect("the index");
    fs::write(
        image.join("oci-layout"),
        r#"{"imageLayoutVersion": "1.0.0"}"#,
    )
    .expect("the layout");
    let archive = folder.join("image.tar");
    pack(&image, &archive);
    archive
}

/// The file system: `/bin` full of busybox, and the folders that a runtime mounts on.
fn layer(folder: &Path) -> PathBuf {
    let root = folder.join("root");
    for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(name)).expect("a folder of the layer");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox");
    for name in ["ip", "ping", "sh", "sleep", "wget"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).expect("a link");
    }
    let archive = folder.join("layer.tar");
    pack(&root, &archive);
    archive
}

fn pack(folder: &Path, archive: &Path) {
    shell::run(
        Command::new("tar")
            .args(["--owner=0", "--group=0", "-cf"])
            .arg(archive)
            .arg("-C")
            .arg(folder)
            .arg("."),
    );
}

fn typed(mut descriptor: Value, media_type: &str) -> Value {
    descriptor["mediaType"] = media_type.into();
    descriptor
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The files of an image, named by their digests.
struct Blobs<'a>(&'a Path);

impl Blobs<'_> {
    fn add(&self, file: &Path) -> Value {
        let sum = shell::run(Command::new("sha256sum").arg(file));
        let digest = sum.split_whitespace().next().expect("a digest");
        let size = fs::metadata(file).expect("the file's size").len();
        fs::copy(file, self.0.join("blobs/sha256").join(digest)).expect("a blob");
        json!({"digest": format!("sha256:{digest}"), "size": size})
    }

    fn add_json(&self, value: &Value) -> Value {
        let draft = self.0.join("draft");
        fs::write(&draft, value.to_string()).expect("a draft");
        let descriptor = self.add(&draft);
        fs::remove_file(&draft).expect("the draft");
        descriptor
    }
}
