//! Images of containers, made from files of this machine as archives that any runtime imports; no registry is asked.
//!
//! ```text
//!   images.tar   oci-layout, index.json     which images there are
//!                blobs/sha256/…             a manifest and a configuration of each, and the layers they share
//! ```

mod layer;
mod libraries;
mod tar;
#[cfg(test)]
mod tests;

pub use layer::Layer;
pub use libraries::with_libraries;

use crate::{Error, error::Result};
use ring::digest::{Context, SHA256};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub struct Image<'a> {
    /// By which pods name it.
    pub name: String,
    /// Files of later layers hide those of earlier ones.
    pub layers: Vec<&'a Layer>,
    pub entrypoint: Vec<String>,
    pub path: &'static str,
}

/// Writes an archive with all the images.
pub fn write(images: &[Image<'_>], file: &Path) -> Result<()> {
    let fail = || Error::file("write", file);
    let mut blobs = Blobs::default();
    let mut manifests = Vec::new();
    for image in images {
        manifests.push(image.manifest(&mut blobs).map_err(fail())?);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let out = File::create(file).map_err(fail())?;
    let mut archive = tar::Writer::new(BufWriter::with_capacity(1 << 20, out));
    let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
    let put = || -> io::Result<()> {
        archive.file("oci-layout", 0o644, layout)?;
        archive.file("index.json", 0o644, index.to_string().as_bytes())?;
        for (digest, blob) in &blobs.0 {
            let name = format!("blobs/sha256/{digest}");
            match blob {
                Blob::Text(text) => archive.file(&name, 0o644, text.as_bytes())?,
                Blob::Layer(layer, size) => {
                    archive.stream(&name, 0o644, *size, |out| layer.write(out))?;
                }
            }
        }
        archive.finish()?.flush()
    };
    put().map_err(fail())
}

impl<'a> Image<'a> {
    /// Notes what the image is made of, and gives its entry in the index.
    fn manifest(&self, blobs: &mut Blobs<'a>) -> io::Result<Value> {
        let layers = self.layers.iter().map(|layer| blobs.layer(layer));
        let layers: Vec<Value> = layers.collect::<io::Result<_>>()?;
        // Layers are not packed: the digest of one is also that of its content.
        let contents: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        let configuration = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {"Env": [format!("PATH={}", self.path)], "Entrypoint": self.entrypoint},
            "rootfs": {"type": "layers", "diff_ids": contents},
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blobs.text(CONFIGURATION, configuration.to_string()),
            "layers": layers,
        });
        let mut entry = blobs.text(MANIFEST, manifest.to_string());
        entry["annotations"] = json!({"io.containerd.image.name": self.name});
        Ok(entry)
    }
}

enum Blob<'a> {
    Text(String),
    /// With its size.
    Layer(&'a Layer, u64),
}

/// By digest, so that what images share is there once.
#[derive(Default)]
struct Blobs<'a>(BTreeMap<String, Blob<'a>>);

impl<'a> Blobs<'a> {
    fn text(&mut self, media_type: &str, text: String) -> Value {
        let mut sum = Sum::new();
        sum.write_all(text.as_bytes()).expect("sums take all");
        let size = sum.size;
        let digest = sum.digest();
        self.0.insert(digest.clone(), Blob::Text(text));
        descriptor(media_type, &digest, size)
    }

    fn layer(&mut self, layer: &'a Layer) -> io::Result<Value> {
        let known = self.0.iter().find_map(|(digest, blob)| match blob {
            Blob::Layer(known, size) if std::ptr::eq(*known, layer) => {
                Some((digest.clone(), *size))
            }
            _ => None,
        });
        if let Some((digest, size)) = known {
            return Ok(descriptor(LAYER, &digest, size));
        }
        let mut sum = Sum::new();
        layer.write(&mut sum)?;
        let size = sum.size;
        let digest = sum.digest();
        self.0.insert(digest.clone(), Blob::Layer(layer, size));
        Ok(descriptor(LAYER, &digest, size))
    }
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size})
}

/// Keeps nothing of what is written but its sum and its size.
struct Sum {
    context: Context,
    size: u64,
}

impl Sum {
    fn new() -> Sum {
        Sum {
            context: Context::new(&SHA256),
            size: 0,
        }
    }

    fn digest(self) -> String {
        let mut text = String::new();
        for byte in self.context.finish().as_ref() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.context.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
