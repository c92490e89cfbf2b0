//! What a store, apiserver or kvstoremesh says of itself on its page `/status`.
//!
//! Deliberately a client of one question: a connection, a request, the answer to its end.

use super::{Problem, clusters};
use crate::{
    output::{Colour, Style},
    table,
};
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};
use tombolo_model::local::{Failure, FailureCode, PeerStatus};

const TIMEOUT: Duration = Duration::from_secs(10);
/// A mesh has 511 clusters, each of a few hundred bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// How full a store may be before that is told of.
const FULL_PERCENT: u64 = 90;

/// What is shown of the page; the rest is in the JSON.
#[derive(Debug, Deserialize)]
pub struct Program {
    program: String,
    version: String,
    cluster: String,
    #[serde(flatten)]
    memory: Option<Memory>,
    #[serde(default)]
    store: Option<Writer>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    objects: BTreeMap<String, u64>,
    #[serde(default)]
    missing: Vec<String>,
    #[serde(default)]
    records: BTreeMap<String, u64>,
    #[serde(default)]
    refused_objects: Vec<String>,
    #[serde(default)]
    refused: u64,
    #[serde(default)]
    leaving: BTreeMap<String, String>,
    #[serde(default)]
    peers: Vec<PeerStatus>,
}

/// What a store holds.
#[derive(Debug, Deserialize)]
struct Memory {
    address: String,
    secure: bool,
    revision: i64,
    keys: u64,
    leases: u64,
    watches: u64,
    bytes: u64,
    bytes_live: u64,
    bytes_max: u64,
}

/// How the writing into a store goes.
#[derive(Debug, Deserialize)]
struct Writer {
    endpoints: Vec<String>,
    leads: bool,
    keys: u64,
    pending: u64,
    refused: u64,
    refused_keys: BTreeMap<String, String>,
    #[serde(default)]
    trouble: Option<String>,
}

/// The page as it is, and what is understood of it.
pub fn ask(address: &str) -> Result<(Value, Program)> {
    let body = get(address)?;
    let other = || {
        failure(
            format!("what answers at {address} is no program of a cluster"),
            "give --of the --health-listen of a store, an apiserver or a kvstoremesh",
        )
    };
    let page: Value = serde_json::from_str(&body).map_err(|_| other())?;
    let program = Program::deserialize(&page).map_err(|_| other())?;
    Ok((page, program))
}

fn get(address: &str) -> Result<String> {
    let resolved = address.to_socket_addrs().map_err(|error| {
        let message = format!("`{address}` is no address: {error}");
        failure(message, "write it like 127.0.0.1:9964")
    })?;
    let mut last = anyhow!("`{address}` has no address");
    for socket in resolved {
        match TcpStream::connect_timeout(&socket, TIMEOUT) {
            Ok(stream) => return exchange(stream, address),
            Err(error) => {
                last = failure(
                    format!("nobody answers at {address}: {error}"),
                    "see that the program runs, and that --of is what its --health-listen is",
                );
            }
        }
    }
    Err(last)
}

fn exchange(mut stream: TcpStream, address: &str) -> Result<String> {
    let asking = || format!("asking {address} for its status");
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET /status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).with_context(asking)?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .with_context(asking)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split_whitespace().nth(1) != Some("200") {
        let said = body.lines().next().unwrap_or_default();
        bail!(failure(
            format!("{address} does not tell its status: {status} {said}"),
            "give --of the --health-listen of a store, an apiserver or a kvstoremesh",
        ));
    }
    Ok(body.to_owned())
}

fn failure(message: String, hint: &str) -> anyhow::Error {
    anyhow::Error::new(Failure {
        code: FailureCode::Unavailable,
        message,
        hint: hint.to_owned(),
    })
}

impl Program {
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(Memory {
            bytes,
            bytes_live,
            bytes_max,
            ..
        }) = self.memory
            && bytes_live.saturating_mul(100) >= bytes_max.saturating_mul(FULL_PERCENT)
        {
            problems.push(Problem::new(
                format!("the store is nearly full: {bytes_live} bytes, {bytes} with the past, of {bytes_max}"),
                "what goes beyond is refused: give --memory-max more",
            ));
        }
        if let Some(writer) = &self.store {
            problems.extend(writer.problems());
        }
        if !self.missing.is_empty() {
            problems.push(Problem::new(
                format!("nothing was told yet of {}", table::list(&self.missing)),
                "until then peers are not told that all of it is there",
            ));
        }
        if let Some(first) = self.refused_objects.first() {
            problems.push(Problem::new(
                format!("{} objects are refused, one of them: {first}", self.refused),
                "they are left out, all others are used; -o json names more",
            ));
        }
        problems.extend(clusters::problems(&self.cluster, &self.peers));
        problems
    }

    pub fn render(&self, healthy: &str, colour: Colour) -> String {
        let mut text = format!(
            "{} of cluster {}: {healthy}\n",
            colour.paint(Style::Strong, &self.program),
            self.cluster
        );
        for (name, value) in self.facts() {
            text.push_str(&format!("  {name:<15}{value}\n"));
        }
        if !self.peers.is_empty() {
            text.push_str(&clusters::table(&self.cluster, &self.peers));
        }
        text
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![("version", self.version.clone())];
        let counts = |counts: &BTreeMap<String, u64>| {
            let some = counts.iter().filter(|(_, count)| **count > 0);
            table::list(some.map(|(kind, count)| format!("{kind} {count}")))
        };
        if let Some(memory) = &self.memory {
            let how = if memory.secure {
                "with certificates"
            } else {
                "open to whoever reaches it"
            };
            facts.push(("listens", format!("{}, {how}", memory.address)));
            facts.push((
                "keys",
                format!("{} at revision {}", memory.keys, memory.revision),
            ));
            facts.push(("leases", memory.leases.to_string()));
            facts.push(("watches", memory.watches.to_string()));
            let (bytes, max) = (memory.bytes, memory.bytes_max);
            facts.push(("bytes", format!("{bytes} with the past, of {max}")));
        }
        if !self.source.is_empty() {
            facts.push((
                "objects",
                format!("{} from {}", counts(&self.objects), self.source),
            ));
            facts.push(("told", counts(&self.records)));
        }
        if let Some(writer) = &self.store {
            facts.push(("store", table::list(&writer.endpoints)));
            facts.push(("writes", writer.said()));
        }
        for (cluster, step) in &self.leaving {
            facts.push(("leaving", format!("{cluster}: {step}")));
        }
        for (_, value) in &mut facts {
            if value.is_empty() {
                "none".clone_into(value);
            }
        }
        facts
    }
}

impl Writer {
    fn said(&self) -> String {
        if self.leads {
            format!("{} keys, {} of them wait", self.keys, self.pending)
        } else {
            "stands by: another replica does".to_owned()
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(trouble) = &self.trouble {
            problems.push(Problem::new(
                format!("the own store can't be written: {trouble}"),
                "see that it runs, and that --store is right; what is to be written waits",
            ));
        }
        if let Some((key, why)) = self.refused_keys.first_key_value() {
            problems.push(Problem::new(
                format!(
                    "the store refuses {} keys, one of them {key}: {why}",
                    self.refused
                ),
                "all others are written; -o json names more",
            ));
        }
        problems
    }
}
