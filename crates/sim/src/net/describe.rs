//! Letters in few words, for traces.

use std::fmt;

use bytes::Bytes;
use tombolo_kvstore::{Change, Keys, Operation, Record, Written};

use super::{Call, Letter, Reply};

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Letter::Syn { attempt } => write!(f, "syn {attempt}"),
            Letter::Request { number, call } => write!(f, "{number}: {call}"),
            Letter::Fin => f.write_str("fin"),
            Letter::Open => f.write_str("open"),
            Letter::Refused => f.write_str("refused"),
            Letter::Reply {
                number,
                cluster,
                reply,
            } => match reply {
                Ok(reply) => write!(f, "{number} of {cluster:x}: {reply}"),
                Err(error) => write!(f, "{number} of {cluster:x}: {error}"),
            },
            Letter::Reset => f.write_str("reset"),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Page { keys, from } => {
                let from = from.as_ref().map(|from| text(&from.key));
                write!(f, "page of {} from {from:?}", start(keys))
            }
            Call::Watch { keys, since } => write!(f, "watch {} since {since}", start(keys)),
            Call::Transact(transaction) => {
                f.write_str("transact")?;
                for operation in &transaction.then {
                    match operation {
                        Operation::Put(put) => {
                            let value = match &put.value {
                                Written::New(value) => mark(value),
                                Written::Keep => String::new(),
                            };
                            write!(f, " {}={value}", text(&put.key))?;
                        }
                        Operation::Delete(delete) => write!(f, " -{}", start(&delete.keys))?,
                        operation => write!(f, " {operation:?}")?,
                    }
                }
                Ok(())
            }
            Call::Grant(ttl) => write!(f, "grant {ttl:?}"),
            Call::Renew(lease) => write!(f, "renew {lease:x}"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Page(page, next) => {
                write!(f, "page at {}, more {}:", page.revision, next.is_some())?;
                page.records
                    .iter()
                    .try_for_each(|it| write!(f, " {}", record(it)))
            }
            Reply::Watching => f.write_str("watching"),
            Reply::Changes(changes) => {
                f.write_str("changes:")?;
                let records = changes.iter().map(|change| &change.record);
                records
                    .clone()
                    .try_for_each(|it| write!(f, " {}", record(it)))
            }
            Reply::Transacted(answer) => {
                write!(f, "transacted {} at {}", answer.succeeded, answer.revision)
            }
            Reply::Granted(lease) => write!(f, "granted {:x}", lease.id),
            Reply::Renewed => f.write_str("renewed"),
        }
    }
}

/// What has happened to a store.
pub(crate) fn changes(changes: &[Change]) -> String {
    let all = changes.iter().map(|change| record(&change.record));
    all.collect::<Vec<_>>().join(" ")
}

fn record(record: &Record) -> String {
    let (key, at) = (text(&record.key), record.modified);
    match record.is_deletion() {
        true => format!("-{key}@{at}"),
        false => format!("{key}={}@{at}", mark(&record.value)),
    }
}

fn start(keys: &Keys) -> String {
    text(keys.start())
}

fn text(key: &Bytes) -> String {
    let text = String::from_utf8_lossy(key);
    text.strip_prefix("cilium/").unwrap_or(&text).to_owned()
}

/// A few digits that tell values apart.
fn mark(value: &[u8]) -> String {
    let fold = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    format!("{:04x}", value.iter().fold(0x811c_9dc5, fold) & 0xffff)
}
