//! What is known of the other clusters of the mesh: which number each has, and which have told all they have.
//!
//! The numbers outlive the agent in a file that, like the pinned maps, does not outlive the machine: after a restart
//! they say whose what was recovered is, although its cluster can't be reached.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use tombolo_model::id::ClusterId;

/// A mesh has 511 clusters, with names of 32 bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, Default)]
pub struct Known {
    file: Option<PathBuf>,
    numbers: BTreeMap<String, ClusterId>,
    /// In the mesh; true for those that have told all.
    clusters: BTreeMap<String, bool>,
}

impl Known {
    /// Starts with the numbers of the file. One that is of no use is as none: numbers are then learnt by reading.
    pub fn load(file: PathBuf) -> Known {
        let numbers = match load(&file) {
            Ok(numbers) => numbers,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "the clusters' numbers can't be read, what is stale goes when all clusters have been heard");
                BTreeMap::new()
            }
        };
        Known {
            file: Some(file),
            numbers,
            clusters: BTreeMap::new(),
        }
    }

    /// The clusters that are in the mesh now.
    pub fn name(&mut self, clusters: &BTreeSet<String>) {
        self.clusters.retain(|name, _| clusters.contains(name));
        for name in clusters {
            self.clusters.entry(name.clone()).or_default();
        }
        let before = self.numbers.len();
        self.numbers.retain(|name, _| clusters.contains(name));
        if self.numbers.len() != before {
            self.save();
        }
    }

    /// Learns a number. One that is taken out of the mesh and has not ended yet keeps none.
    pub fn number(&mut self, cluster: &str, id: ClusterId) {
        let new = self.clusters.contains_key(cluster)
            && self.numbers.insert(cluster.to_owned(), id) != Some(id);
        if new {
            self.save();
        }
    }

    /// It has told all. True at the first time.
    pub fn hear(&mut self, cluster: &str) -> bool {
        let heard = self.clusters.get_mut(cluster);
        heard.is_some_and(|heard| !std::mem::replace(heard, true))
    }

    /// Those that have not told all, each with its number if that is known.
    pub fn awaited(&self) -> BTreeMap<String, Option<ClusterId>> {
        let awaited = self.clusters.iter().filter(|(_, heard)| !**heard);
        let number = |name: &String| self.numbers.get(name).copied();
        awaited
            .map(|(name, _)| (name.clone(), number(name)))
            .collect()
    }

    fn save(&self) {
        let Some(file) = &self.file else { return };
        if let Err(error) = save(file, &self.numbers) {
            tracing::warn!(file = %file.display(), %error, "the clusters' numbers can't be kept, after a restart what is stale goes when all clusters have been heard");
        }
    }
}

fn load(file: &Path) -> io::Result<BTreeMap<String, ClusterId>> {
    if fs::metadata(file)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long"));
    }
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

/// Whole or not at all. It need not outlive the machine, so that nothing waits for a disk.
fn save(file: &Path, numbers: &BTreeMap<String, ClusterId>) -> io::Result<()> {
    let mut draft = file.as_os_str().to_owned();
    draft.push(".new");
    fs::write(&draft, serde_json::to_vec(numbers)?)?;
    fs::rename(&draft, file)
}
