//! Who is let into the store, as files say: the users, and the peers that other authorities may vouch for.
//!
//! Files are followed. A users' file that is unusable leaves rights as they were; a voucher that is, lets nobody in.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tombolo_kvstore::{Access, Vouchers};

use crate::{Folder, certificates::Users, trust::read_vouchers};

/// How often files are looked at although the kernel told of no change.
const RECHECK: Duration = Duration::from_secs(10);

pub struct UsersFile {
    path: PathBuf,
    folder: Folder,
    cluster: String,
    access: watch::Sender<Arc<Access>>,
}

impl UsersFile {
    pub fn open(
        path: PathBuf,
        cluster: String,
    ) -> Result<(UsersFile, watch::Receiver<Arc<Access>>)> {
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let folder = watched(parent.unwrap_or(Path::new(".")))?;
        let access = Users::read(&path)?.access(&cluster);
        let (access, receiver) = watch::channel(Arc::new(access));
        let users = UsersFile {
            path,
            folder,
            cluster,
            access,
        };
        Ok((users, receiver))
    }

    pub async fn follow(mut self, stop: CancellationToken) -> Result<()> {
        let mut complaint = Complaint::default();
        loop {
            match Users::read(&self.path) {
                Ok(users) => {
                    complaint.settle();
                    let now = Arc::new(users.access(&self.cluster));
                    let changed = self.access.send_if_modified(|present| {
                        let differs = *present != now;
                        *present = now;
                        differs
                    });
                    if changed {
                        tracing::info!(file = %self.path.display(), "who may read has changed");
                    }
                }
                Err(error) => complaint.raise(format!("who may read stays as it was: {error:#}")),
            }
            if wait(&mut self.folder, &stop).await? {
                return Ok(());
            }
        }
    }
}

/// The folder with the files of peers that have a secret in common with us.
pub struct Trusted {
    path: PathBuf,
    folder: Folder,
    vouchers: watch::Sender<Arc<Vouchers>>,
}

impl Trusted {
    pub fn open(path: PathBuf) -> Result<(Trusted, watch::Receiver<Arc<Vouchers>>)> {
        let folder = watched(&path)?;
        let (vouchers, receiver) = watch::channel(Arc::default());
        let trusted = Trusted {
            path,
            folder,
            vouchers,
        };
        trusted.read(&mut Complaint::default());
        Ok((trusted, receiver))
    }

    pub async fn follow(mut self, stop: CancellationToken) -> Result<()> {
        let mut complaint = Complaint::default();
        loop {
            self.read(&mut complaint);
            if wait(&mut self.folder, &stop).await? {
                return Ok(());
            }
        }
    }

    fn read(&self, complaint: &mut Complaint) {
        let (vouchers, refused) = read_vouchers(&self.path).unwrap_or_else(|error| {
            complaint.raise(format!(
                "{} can't be read, no peer is vouched for: {error}",
                self.path.display()
            ));
            Default::default()
        });
        if refused.is_empty() {
            complaint.settle();
        } else {
            let errors: Vec<_> = refused.iter().map(ToString::to_string).collect();
            complaint.raise(format!(
                "who has these files is kept out: {}",
                errors.join("; ")
            ));
        }
        self.vouchers.send_replace(Arc::new(vouchers));
    }
}

fn watched(folder: &Path) -> Result<Folder> {
    Folder::watch(folder)
        .with_context(|| format!("cannot watch {} for who is let in", folder.display()))
}

/// Until files may have changed. Whether it is time to stop.
async fn wait(folder: &mut Folder, stop: &CancellationToken) -> Result<bool> {
    tokio::select! {
        () = stop.cancelled() => return Ok(true),
        changed = folder.changed() => changed.context("watching the files of who is let in")?,
        () = sleep(RECHECK) => {}
    }
    Ok(false)
}

/// Told once, for as long as it is the same.
#[derive(Default)]
struct Complaint(Option<String>);

impl Complaint {
    fn raise(&mut self, text: String) {
        if self.0.as_ref() != Some(&text) {
            tracing::warn!("{text}");
            self.0 = Some(text);
        }
    }

    fn settle(&mut self) {
        self.0 = None;
    }
}
