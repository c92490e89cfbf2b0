//! The chart that this program was built with, as a folder for helm.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// Names within the chart, and contents.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/chart.rs"));

/// A folder that goes with this.
pub struct Unpacked {
    folder: PathBuf,
}

impl Unpacked {
    pub fn make() -> Result<Unpacked> {
        let name = format!("tombolo-chart-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        // One that was left by a process of the same number is not ours to trust.
        fs::create_dir(&folder)
            .with_context(|| format!("cannot make {} for the chart", folder.display()))?;
        let unpacked = Unpacked { folder };
        write(&unpacked.path())?;
        Ok(unpacked)
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join("tombolo")
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Writes it for somebody who calls helm by himself. Overwrites nothing.
pub fn write(folder: &Path) -> Result<()> {
    if folder.exists() {
        bail!(
            "{} is there already: name a folder that is not",
            folder.display()
        );
    }
    for (name, text) in FILES {
        let path = folder.join(name);
        let written = fs::create_dir_all(path.parent().unwrap_or(folder))
            .and_then(|()| fs::write(&path, text));
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
