//! The facts file: what it says, read as one snapshot each time it is replaced.
//!
//! Knows the form of the records and nothing of their worth, which the model judges.

use anyhow::{Context as _, Result, anyhow, bail};
use ipnet::IpNet;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    fs::{self, Metadata},
    io,
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tombolo_control::Folder;
use tombolo_model::{
    event::Event,
    fact::{Address, AddressKey, Fact, Node, NodeKey, Set, Source},
    id::{ClusterId, Identity},
};

#[cfg(test)]
mod tests;

/// How many facts are handed over at once, so that the loop sees to others in between.
pub const BATCH: usize = 1024;
/// A file of 512,000 addresses has a quarter of that.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// How often the file is looked at although the kernel told of no change.
const RECHECK: Duration = Duration::from_secs(10);
/// How much of a record that can't be understood is shown.
const SHOWN_CHARS_MAX: usize = 120;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    nodes: Vec<Value>,
    #[serde(default)]
    addresses: Vec<Value>,
}

#[derive(Deserialize)]
struct NodeForm {
    cluster: String,
    cluster_id: u16,
    name: String,
    addresses: Vec<IpAddr>,
    #[serde(default)]
    pod_ranges: Vec<IpNet>,
}

#[derive(Deserialize)]
struct AddressForm {
    #[serde(with = "prefix")]
    address: IpNet,
    identity: u32,
    host: IpAddr,
}

/// An address alone stands for itself.
mod prefix {
    use super::{Deserialize, IpAddr, IpNet};
    use serde::{Deserializer, de::Error as _};

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpNet, D::Error> {
        let text = String::deserialize(deserializer)?;
        let alone = text.parse::<IpAddr>().map(IpNet::from);
        alone
            .or_else(|_| text.parse())
            .map_err(|_| D::Error::custom(format!("{text} is no address")))
    }
}

/// The facts of a whole file. Fails only if it is not of the form as a whole.
pub fn parse(text: &[u8]) -> Result<Vec<Fact>> {
    // A list would be taken for the fields in their order.
    if text.trim_ascii_start().first() != Some(&b'{') {
        bail!("it is not a JSON object with `nodes` and `addresses`");
    }
    let file: FileForm = serde_json::from_slice(text)
        .context("it is not a JSON object with `nodes` and `addresses`")?;
    let mut facts = Vec::with_capacity(file.nodes.len() + file.addresses.len() + 4);
    facts.push(Fact::Node(Source::File, Event::Restart));
    facts.extend(
        file.nodes
            .into_iter()
            .map(|record| read(record, Set::Nodes, node)),
    );
    facts.push(Fact::Node(Source::File, Event::Synced));
    facts.push(Fact::Address(Source::File, Event::Restart));
    facts.extend(
        file.addresses
            .into_iter()
            .map(|record| read(record, Set::Addresses, address)),
    );
    facts.push(Fact::Address(Source::File, Event::Synced));
    Ok(facts)
}

fn read<T: DeserializeOwned>(record: Value, set: Set, fact: fn(T) -> Fact) -> Fact {
    match T::deserialize(&record) {
        Ok(form) => fact(form),
        Err(error) => {
            let shown: String = record.to_string().chars().take(SHOWN_CHARS_MAX).collect();
            Fact::Malformed {
                source: Source::File,
                set,
                record: format!("{error}: {shown}"),
            }
        }
    }
}

fn node(form: NodeForm) -> Fact {
    let NodeForm {
        cluster,
        cluster_id,
        name,
        addresses,
        pod_ranges,
    } = form;
    let node = Node {
        cluster_id: ClusterId(cluster_id),
        addresses,
        pod_ranges,
    };
    Fact::Node(Source::File, Event::Upsert(NodeKey { cluster, name }, node))
}

fn address(form: AddressForm) -> Fact {
    let AddressForm {
        address,
        identity,
        host,
    } = form;
    // Where a file tells of one address twice, the hosts are the two owners.
    let key = AddressKey {
        prefix: address,
        owner: host.to_string(),
    };
    Fact::Address(
        Source::File,
        Event::Upsert(
            key,
            Address {
                identity: Identity(identity),
                host,
            },
        ),
    )
}

/// The file on disk, and which version of it was read last.
pub struct FactsFile {
    path: PathBuf,
    folder: Folder,
    read: Option<Version>,
}

#[derive(PartialEq, Eq)]
struct Version {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Version {
    fn of(metadata: &Metadata) -> Version {
        Version {
            inode: metadata.ino(),
            length: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl FactsFile {
    pub fn open(path: &Path) -> Result<FactsFile> {
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let folder = Folder::watch(folder).with_context(|| {
            format!(
                "cannot watch {} for --facts: make that folder first",
                folder.display()
            )
        })?;
        Ok(FactsFile {
            path: path.to_owned(),
            folder,
            read: None,
        })
    }

    /// Hands over each new version of the file, until told to stop.
    pub async fn follow(
        mut self,
        facts: mpsc::Sender<Vec<Fact>>,
        stop: CancellationToken,
    ) -> Result<()> {
        let mut complained = None;
        loop {
            match self.read_new() {
                Ok(Some(snapshot)) => {
                    complained = None;
                    tracing::info!(file = %self.path.display(), records = snapshot.len() - 4, "facts read");
                    if !send(snapshot, &facts, &stop).await {
                        return Ok(());
                    }
                }
                Ok(None) => {}
                // The same complaint again helps nobody.
                Err(error) => {
                    let text = format!("{error:#}");
                    if complained.as_ref() != Some(&text) {
                        tracing::warn!(
                            "the facts file is not usable, what was read before stays: {text}"
                        );
                        complained = Some(text);
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = self.folder.changed() => changed.context("watching the folder of the facts file")?,
                () = tokio::time::sleep(RECHECK) => {}
            }
        }
    }

    fn read_new(&mut self) -> Result<Option<Vec<Fact>>> {
        let name = self.path.display();
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(anyhow!("{name} is not there"));
            }
            Err(error) => return Err(error).with_context(|| format!("{name} can't be looked at")),
        };
        let version = Version::of(&metadata);
        if self.read.as_ref() == Some(&version) {
            return Ok(None);
        }
        if version.length > FILE_BYTES_MAX {
            return Err(anyhow!(
                "{name} has {} bytes, more than {FILE_BYTES_MAX}",
                version.length
            ));
        }
        let text = fs::read(&self.path).with_context(|| format!("{name} can't be read"))?;
        self.read = Some(version);
        parse(&text)
            .with_context(|| format!("{name} is refused as a whole"))
            .map(Some)
    }
}

async fn send(
    snapshot: Vec<Fact>,
    facts: &mpsc::Sender<Vec<Fact>>,
    stop: &CancellationToken,
) -> bool {
    let mut rest = snapshot.into_iter();
    loop {
        let batch: Vec<Fact> = rest.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return true;
        }
        tokio::select! {
            () = stop.cancelled() => return false,
            sent = facts.send(batch) => if sent.is_err() { return false },
        }
    }
}
