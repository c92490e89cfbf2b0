//! A Secret of Kubernetes as a folder of files, followed for as long as the program runs.
//!
//! The files are those that a mount of the Secret would have, but come at once: a kubelet looks once a minute. All of
//! them change at one instant. What is there when the Secret goes stays.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tombolo_k8s::client::{Api, Selection};
use tombolo_model::event::Event;

use crate::{Feed, KubernetesOptions, Troubles, random, trust::Data};

/// The link that leads to the present content.
const PRESENT: &str = "..data";

/// A Secret, by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRef {
    pub namespace: String,
    pub name: String,
}

impl FromStr for SecretRef {
    type Err = String;

    fn from_str(text: &str) -> Result<SecretRef, String> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(SecretRef {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                })
            }
            _ => Err("write it as NAMESPACE/NAME".to_owned()),
        }
    }
}

/// Where a folder of files comes from, if not from somebody's hand.
#[derive(Args, Clone, Debug, Default)]
pub struct HandedOptions {
    /// Secret of Kubernetes whose files are kept in --clustermesh-config
    #[arg(
        long,
        env = "TOMBOLO_CLUSTERMESH_SECRET",
        value_name = "NAMESPACE/NAME"
    )]
    pub clustermesh_secret: Option<SecretRef>,
}

impl HandedOptions {
    /// Returns when the files are there.
    pub async fn open(
        &self,
        kubernetes: &KubernetesOptions,
        folder: &Path,
    ) -> Result<Option<Handed>> {
        let Some(secret) = &self.clustermesh_secret else {
            return Ok(None);
        };
        let mut handed = Handed::open(kubernetes, secret, folder).await?;
        handed.first().await?;
        Ok(Some(handed))
    }
}

/// The Secret, and the folder that it is handed out in.
pub struct Handed {
    feed: Feed,
    folder: PathBuf,
    secret: SecretRef,
    troubles: Troubles,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    data: BTreeMap<String, String>,
}

impl Handed {
    pub async fn open(
        kubernetes: &KubernetesOptions,
        secret: &SecretRef,
        folder: &Path,
    ) -> Result<Handed> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let client = kubernetes.connect().await?;
        let selection = Selection::one(Api::SECRETS, &secret.namespace, &secret.name);
        let troubles = Troubles::default();
        Ok(Handed {
            feed: Feed::new(&client, selection, &troubles),
            folder: folder.to_owned(),
            secret: secret.clone(),
            troubles,
        })
    }

    /// Waits until the Secret is there, and its files are.
    pub async fn first(&mut self) -> Result<()> {
        let SecretRef { namespace, name } = &self.secret;
        let about = format!("Secret {namespace}/{name}");
        while !self.change().await? {
            self.troubles
                .set(&about, "it is not there yet; the operator makes it");
        }
        self.troubles.clear(&about);
        Ok(())
    }

    pub async fn follow(mut self, stop: CancellationToken) -> Result<()> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = self.change() => changed.map(|_| ())?,
            }
        }
    }

    /// Whether what came was the Secret. Safe to cancel: nothing is awaited after a change has come.
    async fn change(&mut self) -> Result<bool> {
        loop {
            match self.feed.next().await {
                Ok(Event::Restart) => {}
                Ok(Event::Upsert(name, item)) => {
                    let object: Object = item.read()?;
                    let decode =
                        |(key, text): (String, String)| Some((key, STANDARD.decode(text).ok()?));
                    let data: Data = object.data.into_iter().filter_map(decode).collect();
                    if hand_out(&self.folder, &data)? {
                        tracing::info!(secret = %name, folder = %self.folder.display(), "its files have changed");
                    }
                    return Ok(true);
                }
                Ok(Event::Delete(name)) => {
                    tracing::warn!("Secret {name} is gone: its files stay as they were");
                    return Ok(false);
                }
                Ok(Event::Synced) => return Ok(false),
                Err(reject) => {
                    tracing::warn!("{reject}");
                    return Ok(false);
                }
            }
        }
    }
}

/// Makes the folder hold these files. Whether anything changed.
pub fn hand_out(folder: &Path, data: &Data) -> Result<bool> {
    for name in data.keys() {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with("..") || name == "." || !name.chars().all(plain) {
            bail!(
                "a Secret has the key `{}`, which can't be a file",
                name.escape_debug()
            );
        }
    }
    let present = fs::read_link(folder.join(PRESENT)).ok();
    if present
        .as_ref()
        .is_some_and(|present| holds(&folder.join(present), data))
    {
        return Ok(false);
    }
    write(folder, data, present.as_deref()).with_context(|| {
        format!(
            "cannot write the files of a Secret into {}",
            folder.display()
        )
    })?;
    Ok(true)
}

fn holds(folder: &Path, data: &Data) -> bool {
    let count = fs::read_dir(folder).map(Iterator::count);
    let same = |(name, bytes): (&String, &Vec<u8>)| {
        fs::read(folder.join(name)).is_ok_and(|present| present == *bytes)
    };
    count.is_ok_and(|count| count == data.len()) && data.iter().all(same)
}

fn write(folder: &Path, data: &Data, present: Option<&Path>) -> io::Result<()> {
    // No two of them alike, in whichever order processes come and go.
    let mut random = random();
    let name = format!("..{:016x}", random.below(u64::MAX));
    let next = folder.join(&name);
    DirBuilder::new().mode(0o700).create(&next)?;
    for (key, bytes) in data {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(next.join(key))?;
        file.write_all(bytes)?;
    }
    relink(folder, OsStr::new(PRESENT), Path::new(&name))?;
    for key in data.keys() {
        let target = Path::new(PRESENT).join(key);
        if fs::read_link(folder.join(key)).ok().as_deref() != Some(&target) {
            relink(folder, OsStr::new(key), &target)?;
        }
    }
    for entry in fs::read_dir(folder)? {
        let (entry, path) = entry.map(|entry| (entry.file_name(), entry.path()))?;
        let leads = fs::read_link(&path).is_ok_and(|target| target.starts_with(PRESENT));
        if leads && !entry.to_str().is_some_and(|key| data.contains_key(key)) {
            fs::remove_file(&path)?;
        }
    }
    match present {
        Some(present) => fs::remove_dir_all(folder.join(present)),
        None => Ok(()),
    }
}

/// Makes a link lead elsewhere, at one instant.
fn relink(folder: &Path, name: &OsStr, target: &Path) -> io::Result<()> {
    let draft = folder.join("..draft");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(target, &draft)?;
    fs::rename(&draft, folder.join(name))
}
