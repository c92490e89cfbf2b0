//! Delay: a process that holds every frame between a machine's port and the switch for a while.
//!
//! ```text
//!   machine ─ port ─┐ [hold bridge] ┌─ TAP ══ this process ══ TAP ─┐ [switch]
//! ```
//! TAP devices offer no offloads, so the kernel completes checksums and cuts large packets before the relay sees them.
//! Adds no loss of its own until its queue is full; has nothing to say about order, which it keeps.

use crate::{
    Error,
    error::Result,
    fabric::{self, SWITCH, port},
    plan::{MachineId, Namespace},
    process::{Namespaces, Start, last_words, own_program},
    site::Site,
    state::{Lab, Role},
};
use std::{
    io::ErrorKind,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
    time::{Duration, Instant},
};
use tombolo_linux::tap::Tap;

/// The queue of one direction; what comes when it is full is lost, as on a real wire.
const FRAMES_MAX: usize = 16 * 1024;
const FRAME_BYTES_MAX: usize = 16 * 1024;
const RELAY_PATIENCE: Duration = Duration::from_secs(5);

struct Held {
    due: Instant,
    frame: Box<[u8]>,
}

/// Relays between two TAP devices, made in the caller's namespace, until killed.
pub fn run(delay: Duration, names: [&str; 2]) -> Result<()> {
    let [a, b] = [Tap::open(names[0])?, Tap::open(names[1])?];
    thread::scope(|scope| {
        for (from, to, name) in [(&a, &b, names[0]), (&b, &a, names[1])] {
            let (sender, receiver) = sync_channel(FRAMES_MAX);
            scope.spawn(move || write(to, &receiver));
            scope.spawn(move || read(from, delay, &sender, name));
        }
    });
    Ok(())
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

/// Takes the relay out of the machine's way, if there is one.
pub fn remove(lab: &mut Lab, gateway: &Site, machine: MachineId) -> Result<()> {
    let known = lab.state.machines.get_mut(&machine);
    let known = known.expect("the machine was checked");
    if let Some(relay) = known.processes.remove(&Role::Relay) {
        relay.kill()?;
    }
    let switch = gateway.index(SWITCH)?;
    gateway
        .netlink
        .set_master(gateway.index(&port(machine))?, Some(switch))?;
    if let Some(hold) = gateway.netlink.link(&hold(machine))? {
        gateway.netlink.delete_link(hold.index)?;
    }
    Ok(())
}

/// Starts a relay and leads all frames of the machine through it.
pub fn insert(lab: &mut Lab, gateway: &Site, machine: MachineId, delay_ms: u32) -> Result<()> {
    let taps = taps(machine);
    let words = [
        "lab",
        "relay",
        "--delay-ms",
        &delay_ms.to_string(),
        &taps[0],
        &taps[1],
    ];
    let log = lab.log_file(machine, Role::Relay);
    let relay = Start {
        namespaces: &Namespaces::of_net(&Namespace::Gateway(machine.cluster()).name(&lab.name)),
        cgroup: &lab.cgroup(machine),
        log: &log,
        program: &own_program()?,
        arguments: &words.map(str::to_owned),
        environment: &[],
    }
    .detached()?;
    let known = lab.state.machines.get_mut(&machine);
    let known = known.expect("the machine was checked");
    known.processes.insert(Role::Relay, relay);
    lab.save()?;

    let deadline = Instant::now() + RELAY_PATIENCE;
    while gateway.netlink.link(&taps[1])?.is_none() {
        if !relay.is_alive() || Instant::now() > deadline {
            return Err(Error::Died {
                role: Role::Relay.name(),
                machine,
                log: last_words(&log),
            });
        }
        thread::sleep(Duration::from_millis(5));
    }
    let hold = gateway.netlink.create_bridge(&hold(machine))?;
    let mtu = lab.machines[&machine].faults.mtu.unwrap_or(fabric::MTU);
    widen(gateway, machine, mtu)?;
    let [held, freed] = [gateway.index(&taps[0])?, gateway.index(&taps[1])?];
    gateway.netlink.set_master(held, Some(hold))?;
    gateway
        .netlink
        .set_master(freed, Some(gateway.index(SWITCH)?))?;
    gateway
        .netlink
        .set_master(gateway.index(&port(machine))?, Some(hold))?;
    for index in [hold, held, freed] {
        gateway.netlink.set_up(index)?;
    }
    Ok(())
}

/// The port itself says what is too large; the relay must only not be smaller.
pub fn widen(gateway: &Site, machine: MachineId, mtu: u32) -> Result<()> {
    taps(machine)
        .iter()
        .try_for_each(|tap| gateway.set_mtu(tap, mtu.max(fabric::MTU)))
}

fn hold(machine: MachineId) -> String {
    format!("hold-{}", port(machine))
}

/// The relay's ends on the machine's side and on the switch's.
fn taps(machine: MachineId) -> [String; 2] {
    ["held", "freed"].map(|kind| format!("{kind}-{}", port(machine)))
}
