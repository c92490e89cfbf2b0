//! `tombolo monitor`: what the kernel programs tell of packets, a line each.
//!
//! Deliberately keeps nothing: who comes late has missed what was.

use crate::{
    client,
    output::{self, Colour, Format, Output, Style},
};
use anyhow::{Result, bail};
use clap::Args;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tombolo_model::{
    local::{Reply, Request},
    reason::{Flow, FlowVerdict, Peer},
};

#[cfg(test)]
mod tests;

#[derive(Args)]
pub struct Monitor {
    /// Tell of allowed connections too, not of drops alone
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: Output,
}

impl Monitor {
    pub fn run(self, socket: &Path) -> Result<()> {
        let request = Request::Monitor { allowed: self.all };
        let mut stream = client::follow(socket, &request)?;
        let mut printer = Printer::new(Colour::of_stdout(), boot_time());
        while let Some(reply) = stream.next()? {
            let text = match (self.output.format, reply) {
                (Format::Text, Reply::Flow(flow)) => printer.flow(&flow),
                (Format::Text, Reply::Lost { flows }) => printer.lost(flows),
                (Format::Json, Reply::Flow(flow)) => format!("{}\n", serde_json::to_string(&flow)?),
                (Format::Json, Reply::Lost { flows }) => format!("{}\n", json!({"lost": flows})),
                (_, Reply::Done) => continue,
                (_, other) => return Err(client::unexpected(&other)),
            };
            output::write(&text)?;
        }
        bail!("the agent has hung up: it stops or is restarted");
    }
}

/// When the kernel's monotonic clock began, in the time of the calendar.
#[expect(
    clippy::disallowed_methods,
    reason = "people read the clock, nothing is decided by it"
)]
fn boot_time() -> Duration {
    let running = clock_gettime(ClockId::Monotonic);
    let running = Duration::new(
        u64::try_from(running.tv_sec).unwrap_or_default(),
        u32::try_from(running.tv_nsec).unwrap_or_default(),
    );
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    now.saturating_sub(running)
}

/// Writes lines for people.
struct Printer {
    colour: Colour,
    boot: Duration,
    /// A hint is worth reading once.
    hinted: BTreeSet<String>,
}

impl Printer {
    fn new(colour: Colour, boot: Duration) -> Printer {
        Printer {
            colour,
            boot,
            hinted: BTreeSet::new(),
        }
    }

    fn flow(&mut self, flow: &Flow) -> String {
        let time = self.boot + Duration::from_nanos(flow.time_ns);
        let verdict = match flow.verdict {
            FlowVerdict::Allowed => self.colour.paint(Style::Good, "allowed"),
            FlowVerdict::Dropped => self.colour.paint(Style::Bad, "dropped"),
        };
        let mut line = format!(
            "{} {verdict} {} {} -> {}, {} bytes at {}",
            self.colour.paint(Style::Faint, clock(time)),
            flow.protocol,
            peer(&flow.source, has_ports(flow)),
            peer(&flow.destination, has_ports(flow)),
            flow.bytes,
            flow.seen_at,
        );
        if let Some(reason) = &flow.reason {
            line.push_str(&format!(": {}", self.colour.paint(Style::Strong, reason)));
        }
        line.push('\n');
        if let Some(hint) = self.new_hint(flow) {
            let hint = self.colour.paint(Style::Faint, format!("  hint: {hint}"));
            line.push_str(&format!("{hint}\n"));
        }
        line
    }

    fn lost(&self, flows: u64) -> String {
        let text = match flows {
            1 => "1 event was lost: the reader was too slow".to_owned(),
            _ => format!("{flows} events were lost: the reader was too slow"),
        };
        format!("{}\n", self.colour.paint(Style::Bad, text))
    }

    fn new_hint<'a>(&mut self, flow: &'a Flow) -> Option<&'a str> {
        let hint = flow.hint.as_deref()?;
        let is_new = self.hinted.insert(hint.to_owned());
        is_new.then_some(hint)
    }
}

/// Hours, minutes, seconds and milliseconds of the day, in UTC as the log is.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!(
        "{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        time.subsec_millis(),
    )
}

/// In place of ports ICMP has the number of a conversation, which tells people nothing.
fn has_ports(flow: &Flow) -> bool {
    !flow.protocol.starts_with("ICMP")
}

fn peer(peer: &Peer, has_ports: bool) -> String {
    let address = match (peer.address, peer.port) {
        (None, _) => "?".to_owned(),
        (Some(IpAddr::V4(address)), port) if has_ports && port != 0 => format!("{address}:{port}"),
        (Some(IpAddr::V6(address)), port) if has_ports && port != 0 => {
            format!("[{address}]:{port}")
        }
        (Some(address), _) => address.to_string(),
    };
    match peer.endpoint {
        Some(endpoint) => format!("{address} ({}, endpoint {endpoint})", peer.identity),
        None => format!("{address} ({})", peer.identity),
    }
}
