//! Asks nodes and backends of other clusters whether they answer, by echo requests on the way that pods' packets go, and tells
//! the loop who does not.
//!
//! Whom to ask, when, and what silence means is the model's. Agents of one cluster tell each other of their doubts
//! ([`hearsay`]). What was silent outlives the agent in a file that does not outlive
//! the machine: an agent that starts sends nothing to where nobody answered before. Backends alone are not remembered: they have
//! to answer each agent anew before their silence says something.

use anyhow::{Context as _, Result};
use hearsay::Hearsay;
use std::{
    collections::BTreeMap,
    fs,
    future::poll_fn,
    io,
    net::IpAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    task::Poll,
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tombolo_control::random;
use tombolo_linux::icmp::Pinger;
use tombolo_model::{
    fact::{Fact, NodeKey},
    health::{Aim, Prober, Silence, Tallies},
    id::ClusterId,
};

mod hearsay;
#[cfg(test)]
mod tests;

/// 65,535 nodes with names of 40 bytes.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// The loop's end: whom to ask, and how they do.
pub struct Health {
    aim: watch::Sender<Aim>,
    tallies: watch::Receiver<BTreeMap<ClusterId, Tallies>>,
}

/// The asking end.
pub struct Asker {
    pinger: Pinger,
    sockets: Vec<AsyncFd<OwnedFd>>,
    hearsay: Option<Hearsay>,
    prober: Prober,
    /// Who the loop knows to be silent.
    told: Silence,
    memory: PathBuf,
    started: Instant,
    aim: watch::Receiver<Aim>,
    tallies: watch::Sender<BTreeMap<ClusterId, Tallies>>,
}

impl Health {
    pub fn aim(&self, aim: Aim) {
        self.aim.send_replace(aim);
    }

    pub fn tallies(&self) -> BTreeMap<ClusterId, Tallies> {
        self.tallies.borrow().clone()
    }
}

impl Asker {
    /// `memory` is the file of who was silent, `own` the node's own address among its pods; to be called within a runtime.
    pub fn open(memory: PathBuf, own: Option<IpAddr>, started: Instant) -> Result<(Asker, Health)> {
        let seed = random().below(u64::MAX);
        let pinger = Pinger::open(seed as u16)?;
        let sockets = pinger.descriptors().and_then(|all| {
            #[expect(
                deprecated,
                reason = "an owned descriptor stays open as long as it is registered"
            )]
            let register = |fd| AsyncFd::with_interest(fd, Interest::READABLE);
            all.into_iter().map(register).collect()
        });
        let told = recall(&memory, started.elapsed());
        let (aim, aim_receiver) = watch::channel(Aim::default());
        let (tallies_sender, tallies) = watch::channel(BTreeMap::new());
        let asker = Asker {
            pinger,
            sockets: sockets.context("listening for echoes")?,
            hearsay: own.and_then(Hearsay::open),
            prober: Prober::new(seed, told.clone()),
            told,
            memory,
            started,
            aim: aim_receiver,
            tallies: tallies_sender,
        };
        Ok((asker, Health { aim, tallies }))
    }

    /// What is to be known before anything else is.
    pub fn remembered(&self) -> Fact {
        Fact::Silent(self.told.clone())
    }

    /// Asks until told to stop, or until the loop has ended.
    pub async fn follow(
        mut self,
        facts: mpsc::Sender<Vec<Fact>>,
        stop: CancellationToken,
    ) -> Result<()> {
        let far = Duration::from_secs(86_400);
        loop {
            let due = self.started + self.prober.timeout().unwrap_or(far);
            // Every arm is safe to cancel: what has arrived is read below, whichever arm it was.
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = self.aim.changed() => match changed {
                    Ok(()) => {
                        let now = self.started.elapsed();
                        let aim = self.aim.borrow_and_update();
                        self.prober.aim(&aim, now);
                        if let Some(hearsay) = &mut self.hearsay {
                            hearsay.know(&aim.peers);
                        }
                    }
                    Err(_) => return Ok(()),
                },
                () = heard(self.hearsay.as_ref()), if self.hearsay.is_some() => {}
                ready = readable(&self.sockets) => ready.context("listening for echoes")?,
                () = sleep_until(due) => {}
            }
            self.turn();
            let silence = self.prober.silence();
            let is_news = !silence.nodes.keys().eq(self.told.nodes.keys())
                || !silence.clusters.keys().eq(self.told.clusters.keys())
                || !believed(&silence).eq(believed(&self.told));
            if is_news {
                self.note(&silence);
                if facts.send(vec![Fact::Silent(silence)]).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// Answers come first: whoever was held up blames nobody for it.
    fn turn(&mut self) {
        let now = self.started.elapsed();
        while let Some((from, number)) = self.pinger.receive() {
            self.prober.answered(number, from, now);
        }
        for doubt in self.hearsay.iter().flat_map(Hearsay::receive) {
            self.prober.doubted(doubt, now);
        }
        for probe in self.prober.wake(now) {
            match self.pinger.send(probe.to, probe.number) {
                // No room for it on this side says nothing of the other.
                Err(error) if error.raw_os_error() == Some(ENOBUFS) || is_full(&error) => {
                    self.prober.unsent(probe.number);
                }
                Err(error) => tracing::debug!(to = %probe.to, %error, "no question was sent"),
                Ok(()) => {}
            }
        }
        let doubts = self.prober.take_doubts(now);
        if let Some(hearsay) = &self.hearsay {
            hearsay.tell(&doubts);
        }
        let tallies = self.prober.tallies();
        self.tallies.send_if_modified(|former| {
            let is_new = *former != tallies;
            *former = tallies;
            is_new
        });
    }

    fn note(&mut self, silence: &Silence) {
        for node in silence.nodes.keys() {
            if !self.told.nodes.contains_key(node) {
                tracing::warn!(%node, "it does not answer: its backends get nothing while there are others");
            }
        }
        for node in self.told.nodes.keys() {
            if !silence.nodes.contains_key(node) {
                tracing::info!(%node, "it answers, or is asked no more");
            }
        }
        for cluster in silence.clusters.keys() {
            if !self.told.clusters.contains_key(cluster) {
                tracing::warn!(%cluster, "nothing of it answers: its backends get nothing while there are others");
            }
        }
        for ((cluster, ip), unanswered) in &silence.backends {
            let former = self.told.backends.get(&(*cluster, *ip));
            if unanswered.is_believed && former.is_none_or(|former| !former.is_believed) {
                tracing::warn!(%cluster, %ip, "it does not answer, and there are no news of its cluster: it gets nothing while there are others");
            }
        }
        let is_kept = self.told.nodes.keys().eq(silence.nodes.keys())
            && self.told.clusters.keys().eq(silence.clusters.keys());
        self.told = silence.clone();
        if is_kept {
            return;
        }
        if let Err(error) = save(&self.memory, silence) {
            tracing::warn!(file = %self.memory.display(), %error, "who is silent can't be kept, the next agent finds out by asking");
        }
    }
}

const ENOBUFS: i32 = 105;

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Backends that do not answer, and what that means.
fn believed(silence: &Silence) -> impl Iterator<Item = (&(ClusterId, IpAddr), bool)> {
    let backends = silence.backends.iter();
    backends.map(|(backend, unanswered)| (backend, unanswered.is_believed))
}

/// Whether somebody has told something.
async fn heard(hearsay: Option<&Hearsay>) {
    match hearsay {
        Some(hearsay) => hearsay.readable().await,
        None => std::future::pending().await,
    }
}

async fn readable(sockets: &[AsyncFd<OwnedFd>]) -> io::Result<()> {
    poll_fn(|context| {
        let mut ready = Poll::Pending;
        for socket in sockets {
            if let Poll::Ready(guard) = socket.poll_read_ready(context) {
                // Whatever comes from now on makes it ready again.
                guard?.clear_ready();
                ready = Poll::Ready(Ok(()));
            }
        }
        ready
    })
    .await
}

type Kept = (Vec<NodeKey>, Vec<ClusterId>);

/// A file that is of no use is as none.
fn recall(file: &Path, now: Duration) -> Silence {
    let load = || -> io::Result<Kept> {
        if fs::metadata(file)?.len() > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long"));
        }
        Ok(serde_json::from_slice(&fs::read(file)?)?)
    };
    let (nodes, clusters) = match load() {
        Ok(kept) => kept,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(file = %file.display(), %error, "who was silent can't be read, it is found out by asking");
            }
            Kept::default()
        }
    };
    Silence {
        nodes: nodes.into_iter().map(|node| (node, now)).collect(),
        clusters: clusters.into_iter().map(|id| (id, now)).collect(),
        ..Silence::default()
    }
}

/// Whole or not at all.
fn save(file: &Path, silence: &Silence) -> io::Result<()> {
    let nodes = silence.nodes.keys().cloned().collect();
    let kept: Kept = (nodes, silence.clusters.keys().copied().collect());
    let mut draft = file.as_os_str().to_owned();
    draft.push(".new");
    fs::write(&draft, serde_json::to_vec(&kept)?)?;
    fs::rename(&draft, file)
}
