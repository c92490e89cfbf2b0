//! Delay: a process that holds every frame between a node's port and the switch for a while.
//!
//! ```text
//!   node ─ port ─┐ [hold bridge] ┌─ TAP ══ this process ══ TAP ─┐ [switch]
//! ```
//! TAP devices offer no offloads, so the kernel completes checksums and cuts large packets before the relay sees them.
//! Adds no loss of its own until its queue is full; has nothing to say about order, which it keeps.

use crate::{Error, error::Result};
use std::{
    io::ErrorKind,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
    time::{Duration, Instant},
};
use tappers::{Interface, Tap};

/// The queue of one direction; what comes when it is full is lost, as on a real wire.
const FRAMES_MAX: usize = 16 * 1024;
const FRAME_BYTES_MAX: usize = 16 * 1024;

struct Held {
    due: Instant,
    frame: Box<[u8]>,
}

/// Relays between two TAP devices, made in the caller's namespace, until killed.
pub fn run(delay: Duration, names: [&str; 2]) -> Result<()> {
    let [a, b] = [open(names[0])?, open(names[1])?];
    thread::scope(|scope| {
        for (from, to, name) in [(&a, &b, names[0]), (&b, &a, names[1])] {
            let (sender, receiver) = sync_channel(FRAMES_MAX);
            scope.spawn(move || write(to, &receiver));
            scope.spawn(move || read(from, delay, &sender, name));
        }
    });
    Ok(())
}

fn open(name: &str) -> Result<Tap> {
    let interface = Interface::new(name).map_err(Error::file("name a TAP device", name))?;
    Tap::new_named(interface).map_err(Error::file("make the TAP device", name))
}

fn read(from: &Tap, delay: Duration, held: &SyncSender<Held>, name: &str) {
    let mut frame = vec![0; FRAME_BYTES_MAX];
    loop {
        match from.recv(&mut frame) {
            Ok(length) => {
                let due = Instant::now() + delay;
                let frame = frame[..length].into();
                match held.try_send(Held { due, frame }) {
                    Ok(()) | Err(TrySendError::Full(_)) => {}
                    Err(TrySendError::Disconnected(_)) => return,
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                eprintln!("the relay ends: cannot read from {name}: {error}");
                std::process::exit(1);
            }
        }
    }
}

fn write(to: &Tap, held: &Receiver<Held>) {
    for Held { due, frame } in held {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A device that is down loses the frame.
        let _ = to.send(&frame);
    }
}
