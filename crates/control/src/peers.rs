//! The clusters that a program reads: one reader for each file of a folder, for as long as the file is there.
//!
//! Agents and kvstoremesh differ in what they do with what they read: that is their `Role`. A file that becomes
//! unusable leaves its peer as it was; one that goes ends the reader, and what was told of the peer is taken back.

mod connect;
mod place;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tombolo_clustermesh::{
    config,
    drive::{self, Reading, Shared, Wish},
};
use tombolo_model::{config::is_cluster_name, local::PeerStatus};

use crate::Folder;
pub use connect::FileConnect;
use place::Place;
pub use status::{Found, render};

/// How often the folder is looked at although the kernel told of no change.
const RECHECK: Duration = Duration::from_secs(10);
/// Batches that wait for whoever listens to a reader.
const TOLD_MAX: usize = 4;

/// What a program does with its peers.
pub trait Role: Send + Sync + 'static {
    type Reader: Reading<Told: 'static> + 'static;

    fn reader(&self, cluster: &str, now: Duration) -> Self::Reader;

    /// Before anything else, and whenever it has changed: the clusters that have a file, be it of use or not.
    fn named(&self, _clusters: &BTreeSet<String>) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Before a peer is read. False while what was known of its former life is still being put away: it is asked again.
    fn begin(&self, cluster: &str) -> bool;

    /// Hears what is learnt of a peer, until its reader ends. It may wish that the peer is read anew.
    fn hear(
        &self,
        cluster: &str,
        told: mpsc::Receiver<Vec<<Self::Reader as Reading>::Told>>,
        wish: &watch::Sender<Wish>,
    ) -> impl Future<Output = ()> + Send;

    /// After the reader of a peer that was taken out of the mesh has ended.
    fn end(&self, cluster: &str);

    /// How the reading of a peer goes.
    fn look(&self, cluster: &str, reader: &Self::Reader, now: Duration) -> Found;
}

pub struct Peers<R: Role> {
    pub role: R,
    place: Place,
    shared: Shared,
    files: Mutex<config::Peers>,
    readers: Mutex<BTreeMap<String, Reader<R::Reader>>>,
}

/// A peer that is read, or that is about to have been.
struct Reader<T> {
    reader: Arc<Mutex<T>>,
    connect: Arc<FileConnect>,
    wish: watch::Sender<Wish>,
}

impl<R: Role> Peers<R> {
    /// Peers of the cluster `own`, named by the files in the folder.
    pub fn new(role: R, own: &str, path: &Path, start: Instant) -> Peers<R> {
        let (own, path) = (own.to_owned(), path.to_owned());
        Peers::at(Place::Folder { own, path }, role, start)
    }

    /// One cluster, whatever the name of its file.
    pub fn one(role: R, cluster: &str, file: &Path, start: Instant) -> Peers<R> {
        let (cluster, path) = (cluster.to_owned(), file.to_owned());
        Peers::at(Place::File { cluster, path }, role, start)
    }

    fn at(place: Place, role: R, start: Instant) -> Peers<R> {
        Peers {
            role,
            place,
            shared: Shared::new(start),
            files: Mutex::new(config::Peers::default()),
            readers: Mutex::new(BTreeMap::new()),
        }
    }

    /// Reads whoever the folder names, until told to stop; then nothing is taken back.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        let mut folder = Folder::watch(self.place.folder()).with_context(|| {
            format!(
                "cannot watch {} for the files of peers: make that folder, empty if there are none",
                self.place.folder().display()
            )
        })?;
        let mut tasks = JoinSet::new();
        let (mut named, mut complained) = (None, None);
        loop {
            match self.look_at_files() {
                Ok(names) => {
                    complained = None;
                    if named.as_ref() != Some(&names) {
                        self.role.named(&names).await;
                        named = Some(names);
                    }
                    self.begin_and_end(&mut tasks);
                }
                Err(error) => {
                    let text = format!("{error:#}");
                    if complained.as_ref() != Some(&text) {
                        tracing::warn!("all peers stay as they are: {text}");
                        complained = Some(text);
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = folder.changed() => changed.context("watching the folder of peers")?,
                Some(ended) = tasks.join_next() => self.ended(&ended.context("reading a peer")?),
                () = sleep(RECHECK) => self.slow_down(),
            }
        }
    }

    /// The clusters that have a file.
    fn look_at_files(&self) -> Result<BTreeSet<String>> {
        let mut now = self.place.read()?;
        let mut files = lock(&self.files);
        let changes = now.follow(&files);
        for (name, error) in &now.refused {
            if files.refused.get(name) != Some(error) {
                tracing::warn!(file = name, "it names no peer: {error}");
            }
        }
        for change in &changes {
            tracing::info!("{}", spell(change));
            if let config::Change::Changed(name) = change
                && let (Some(reader), Some(entry)) =
                    (lock(&self.readers).get(name), now.peers.get(name))
            {
                reader.connect.set(entry.peer.clone());
                reader.wish.send_replace(Wish::Anew);
            }
        }
        let named = now.peers.keys().chain(now.refused.keys());
        let named = named.filter(|name| is_cluster_name(name)).cloned();
        let named = named.collect();
        *files = now;
        Ok(named)
    }

    /// Starts a reader for each peer that has none, and asks those to end that nobody names.
    fn begin_and_end(self: &Arc<Self>, tasks: &mut JoinSet<String>) {
        let files = lock(&self.files);
        let mut readers = lock(&self.readers);
        for (name, reader) in &*readers {
            if !files.peers.contains_key(name) {
                reader.wish.send_replace(Wish::Remove);
            }
        }
        for (name, entry) in &files.peers {
            if readers.contains_key(name) || !self.role.begin(name) {
                continue;
            }
            let (wish, wished) = watch::channel(Wish::Read);
            let connect = FileConnect::new(entry.peer.clone(), self.place.folder());
            let reader = self.role.reader(name, self.shared.start.elapsed());
            let reader = Reader {
                reader: Arc::new(Mutex::new(reader)),
                connect: Arc::new(connect),
                wish,
            };
            tasks.spawn(Arc::clone(self).read(
                name.clone(),
                Arc::clone(&reader.reader),
                Arc::clone(&reader.connect),
                (reader.wish.clone(), wished),
            ));
            readers.insert(name.clone(), reader);
        }
    }

    async fn read(
        self: Arc<Self>,
        name: String,
        reader: Arc<Mutex<R::Reader>>,
        connect: Arc<FileConnect>,
        (wish, wished): (watch::Sender<Wish>, watch::Receiver<Wish>),
    ) -> String {
        let (sender, told) = mpsc::channel(TOLD_MAX);
        let reading = drive::read(&reader, &self.shared, &*connect, wished, sender);
        tokio::join!(reading, self.role.hear(&name, told, &wish));
        name
    }

    fn ended(&self, name: &str) {
        lock(&self.readers).remove(name);
        self.role.end(name);
        tracing::info!(cluster = name, "it is no longer read");
    }

    /// Those that have read all they had to go on at the ordinary pace.
    fn slow_down(&self) {
        for (name, reader) in &*lock(&self.readers) {
            let now = self.shared.start.elapsed();
            if self.role.look(name, &lock(&reader.reader), now).is_ready() {
                reader.connect.bootstrapped();
            }
        }
    }

    /// All peers by name, and the files that name none.
    pub fn statuses(&self) -> Vec<PeerStatus> {
        let now = self.shared.start.elapsed();
        let files = lock(&self.files);
        let mut all = BTreeMap::new();
        for (name, reader) in &*lock(&self.readers) {
            let found = self.role.look(name, &lock(&reader.reader), now);
            let mut status = found.status(&reader.connect);
            if !files.peers.contains_key(name) {
                status.phase = "leaving".into();
            }
            all.insert(name.clone(), status);
        }
        for (name, entry) in &files.peers {
            all.entry(name.clone()).or_insert_with(|| PeerStatus {
                cluster: name.clone(),
                phase: "waiting".into(),
                endpoints: entry.peer.endpoints.clone(),
                trouble: Some(
                    "its records of the time before it was taken out are just being removed".into(),
                ),
                hint: "wait some seconds: it is read as soon as they are gone".into(),
                ..PeerStatus::default()
            });
        }
        for (name, error) in &files.refused {
            let status = all.entry(name.clone()).or_insert_with(|| PeerStatus {
                cluster: name.clone(),
                phase: "refused".into(),
                ..PeerStatus::default()
            });
            status.trouble = Some(format!("its file names no peer: {error}"));
            status.hint = format!("mend {}", self.place.file(name).display());
        }
        all.into_values().collect()
    }

    /// Whether some peer is asked for records that come in pages.
    pub fn is_listing(&self) -> bool {
        self.shared.is_listing()
    }
}

fn spell(change: &config::Change) -> String {
    match change {
        config::Change::Added(name) => format!("peer {name}: it is in the mesh"),
        config::Change::Changed(name) => {
            format!("peer {name}: its file has changed, connecting anew")
        }
        config::Change::Removed(name) => format!("peer {name}: it is taken out of the mesh"),
    }
}

/// What is behind these locks is a value: a panic within ends the process, and leaves nothing half done to see.
fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
