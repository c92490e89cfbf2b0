//! Keys of the length that addresses of pods have, with values like theirs.

use std::path::PathBuf;

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use tombolo_kvstore::{Etcd, Operation, Put, Store as _, Transaction, Written};

/// What a real etcd takes in one transaction is 128.
const BATCH: usize = 100;
const INFLIGHT: usize = 8;

#[derive(Args)]
pub struct Options {
    /// How to reach the store
    #[arg(long)]
    store: PathBuf,
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    #[arg(long, default_value_t = 200)]
    value_bytes: usize,
}

#[derive(Serialize)]
pub struct Filled {
    keys: u64,
}

pub async fn run(options: &Options) -> Result<Filled> {
    let etcd = super::connect(&options.store).await?;
    let puts = (0..options.keys).map(|number| put(key(number), value(number, options.value_bytes)));
    write(&etcd, puts.collect()).await?;
    Ok(Filled { keys: options.keys })
}

/// In batches, several of them at once.
pub async fn write(etcd: &Etcd, puts: Vec<Put>) -> Result<()> {
    let batches = puts.chunks(BATCH).map(|puts| {
        let then = puts.iter().cloned().map(Operation::Put).collect();
        let transaction = Transaction {
            then,
            ..Transaction::default()
        };
        let etcd = etcd.clone();
        async move { etcd.transact(transaction).await }
    });
    let batches: Vec<_> = batches.collect();
    let answers = stream::iter(batches).buffer_unordered(INFLIGHT);
    answers.try_for_each(|_| async { Ok(()) }).await?;
    Ok(())
}

pub fn put(key: Bytes, value: Bytes) -> Put {
    Put {
        key,
        value: Written::New(value),
        lease: Written::New(None),
        want_previous: false,
    }
}

pub fn key(number: u64) -> Bytes {
    let [.., a, b, c] = number.to_be_bytes();
    format!("cilium/state/ip/v1/default/10.{a}.{b}.{c}").into()
}

/// Differs from number to number, so that nothing is gained by writing the same again.
pub fn value(number: u64, len: usize) -> Bytes {
    let mut value = format!("{number:020}").into_bytes();
    value.resize(len, b'.');
    value.into()
}
