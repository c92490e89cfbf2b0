//! Who reaches whom: every pod asks every other by TCP, UDP and ICMP, by IPv4 and IPv6.
//!
//! Sockets are opened inside of the pods' namespaces by threads of this process, so pods need no program of their own.
//! Judges by what arrives alone; asks neither agents nor kernel tables.

use crate::{error::Result, state::State};
use serde::{Serialize, Serializer};
use std::{net::IpAddr, time::Duration};

mod ask;
mod cast;
mod echo;
mod icmp;
pub mod table;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    Ipv4,
    Ipv6,
}

pub const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Icmp];
pub const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

impl Family {
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }
}

/// What kind of way a packet goes; the rows of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    SameNode,
    AcrossNodes,
    AcrossClusters,
    PodToOwnHost,
    HostToOwnPod,
    PodToRemoteHost,
    HostToRemotePod,
    PodToWorld,
}

/// One question of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Indices into the cast.
    pub from: usize,
    pub to: usize,
    pub way: Way,
    pub protocol: Protocol,
    pub target: IpAddr,
    /// The addresses that the asker may be seen with.
    pub sources: Vec<IpAddr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub rtt: Duration,
    pub source_seen: IpAddr,
}

#[derive(Serialize)]
pub struct Report {
    pub pairs: Vec<Pair>,
    pub total: Total,
}

#[derive(Serialize)]
pub struct Pair {
    pub from: String,
    pub to: String,
    pub way: Way,
    pub protocol: Protocol,
    pub family: Family,
    pub mode: String,
    pub reachable: bool,
    #[serde(serialize_with = "microseconds")]
    pub rtt_us: Option<Duration>,
    pub source_seen: Option<IpAddr>,
    pub source_right: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    pub pairs: usize,
    pub reachable: usize,
    pub unreachable: usize,
    pub wrong_source: usize,
}

impl Pair {
    pub fn well(&self) -> bool {
        self.reachable && self.source_right
    }
}

impl Report {
    fn of(pairs: Vec<Pair>) -> Report {
        let reachable = pairs.iter().filter(|pair| pair.reachable).count();
        let total = Total {
            pairs: pairs.len(),
            reachable,
            unreachable: pairs.len() - reachable,
            wrong_source: pairs
                .iter()
                .filter(|pair| pair.reachable && !pair.source_right)
                .count(),
        };
        Report { pairs, total }
    }

    /// A table without a pair shows nothing, which is not well.
    pub fn all_well(&self) -> bool {
        self.total.pairs > 0 && self.total.unreachable == 0 && self.total.wrong_source == 0
    }
}

/// Asks all pods, and with `all` hosts and the world too.
pub fn check(state: &State, all: bool) -> Result<Report> {
    let cast = cast::assemble(state, all)?;
    let questions = cast::questions(state, &cast, all);
    let outcomes = ask::ask(&cast, &questions)?;
    let mode = state.shape.routing.to_string();
    let pair = |(question, outcome): (&Question, std::result::Result<Answer, String>)| {
        let answer = outcome.as_ref().ok();
        Pair {
            from: cast[question.from].name.clone(),
            to: cast[question.to].name.clone(),
            way: question.way,
            protocol: question.protocol,
            family: Family::of(question.target),
            mode: mode.clone(),
            reachable: answer.is_some(),
            rtt_us: answer.map(|answer| answer.rtt),
            source_seen: answer.map(|answer| answer.source_seen),
            source_right: answer.is_some_and(|a| question.sources.contains(&a.source_seen)),
            error: outcome.err(),
        }
    };
    let pairs = questions.iter().zip(outcomes).map(pair).collect();
    Ok(Report::of(pairs))
}

fn microseconds<S: Serializer>(
    rtt: &Option<Duration>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match rtt {
        Some(rtt) => serializer.serialize_some(&(rtt.as_nanos() as f64 / 1000.0)),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests;
