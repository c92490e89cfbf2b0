//! As many readers of a mesh's stores as a cluster has agents, in one process: what they cost the stores is measured.
//!
//! Each is what an agent is to a store: connections of its own by TLS, nodes and addresses listed and followed, records
//! read and judged. They have no kernel to tell, and count instead. Ends with standard input.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use tokio::{
    io::AsyncReadExt as _,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep},
};
use tombolo_clustermesh::{
    Scope,
    config::Peer,
    drive::{self, Shared, Wish},
    reader::Options,
    remote::{Remote, Told},
};
use tombolo_control::{FileConnect, random};
use tombolo_model::{event::Event, fact::Fact, id::ClusterId, record::Resource};

#[derive(Parser)]
struct Words {
    /// How many agents there would be
    #[arg(long)]
    readers: usize,
    /// Number of the readers' own cluster
    #[arg(long)]
    cluster_id: u16,
    /// File that says how to reach the own cluster's store, as name=path
    #[arg(long, value_parser = source)]
    own: (String, PathBuf),
    /// Files of the peers, as name=path
    #[arg(value_parser = source)]
    peers: Vec<(String, PathBuf)>,
}

fn source(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("write it as name=path")?;
    Ok((name.to_owned(), path.into()))
}

#[derive(Default)]
struct Counts {
    /// Readers of one store that have all it had.
    complete: AtomicUsize,
    /// Facts that were heard, first and later ones.
    facts: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let words = Words::parse();
    let start = Instant::now();
    let counts = Arc::new(Counts::default());
    let mut wishes = Vec::new();
    let mut tasks = JoinSet::new();
    for _ in 0..words.readers {
        // One agent's readers agree on who has which number.
        let shared = Arc::new(Shared::new(start));
        let own = [(&words.own, true)].into_iter();
        for ((name, path), ours) in own.chain(words.peers.iter().map(|peer| (peer, false))) {
            let content = std::fs::read(path).with_context(|| path.display().to_string())?;
            let peer = Peer::read(&content)?.context("the file says nothing of a store")?;
            let folder = path.parent().context("the file is in a folder")?;
            let options = Options {
                cluster: name.clone(),
                own: ClusterId(words.cluster_id),
                ours,
                clusters_max: 255,
                resources: vec![Resource::Nodes, Resource::Addresses],
                scope: Scope::default(),
            };
            let (wish, wished) = watch::channel(Wish::Read);
            wishes.push(wish);
            let connect = FileConnect::new(peer, folder);
            tasks.spawn(read(
                Arc::clone(&shared),
                connect,
                options,
                wished,
                Arc::clone(&counts),
            ));
        }
    }
    while counts.complete.load(Ordering::Relaxed) < wishes.len() {
        sleep(Duration::from_millis(10)).await;
    }
    println!("ready {}", wishes.len());
    // Each line asks how many facts there have been.
    let mut input = tokio::io::stdin();
    while input.read(&mut [0; 1]).await? > 0 {
        println!("facts {}", counts.facts.load(Ordering::Relaxed));
    }
    Ok(())
}

async fn read(
    shared: Arc<Shared>,
    connect: FileConnect,
    options: Options,
    wish: watch::Receiver<Wish>,
    counts: Arc<Counts>,
) {
    let reader = Mutex::new(Remote::new(options, random(), Duration::ZERO));
    let (sender, mut told) = mpsc::channel(4);
    let hear = async {
        let mut synced = 0;
        while let Some(batch) = told.recv().await {
            for told in batch {
                let Told::Fact(fact) = told else { continue };
                counts.facts.fetch_add(1, Ordering::Relaxed);
                let complete = matches!(
                    fact,
                    Fact::Node(_, Event::Synced) | Fact::Address(_, Event::Synced)
                );
                synced += usize::from(complete);
                if complete && synced == 2 {
                    counts.complete.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    tokio::join!(drive::read(&reader, &shared, &connect, wish, sender), hear);
}
