//! Processes: where a new one starts, whether one still runs, and how to end it.

use crate::{Error, Result, netns::Netns};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    mount::MountPropagationFlags,
    process::{Pid, PidfdFlags, Signal},
    thread::{LinkNameSpaceType, UnshareFlags},
};
use std::{
    fs, io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::Command,
    time::Duration,
};

/// How long a killed process may take to end.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Where and how a new process starts. Each call adds a step; the steps run in the child in the order of the calls.
pub trait CommandExt {
    /// Starts it in this network namespace.
    fn in_netns(&mut self, netns: &Netns) -> &mut Self;

    /// Starts it in a mount namespace of its own, from which nothing spreads, after `setup` has made its mounts there.
    ///
    /// `setup` runs between fork and exec, in a copy of this process with one thread: system calls and short
    /// allocations, such as those of `mount`, but no locks that another thread may have held.
    fn in_new_mounts(
        &mut self,
        setup: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> &mut Self;

    /// Has the kernel kill it when the *thread* that starts it ends.
    fn die_with_parent(&mut self) -> &mut Self;

    /// Starts it in a session of its own, so that a terminal's signals do not reach it.
    fn detached(&mut self) -> &mut Self;
}

impl CommandExt for Command {
    fn in_netns(&mut self, netns: &Netns) -> &mut Self {
        let copy = netns
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| error.raw_os_error().unwrap_or(libc::EBADF));
        let enter = move || {
            let fd: &OwnedFd = copy
                .as_ref()
                .map_err(|number| io::Error::from_raw_os_error(*number))?;
            rustix::thread::move_into_link_name_space(
                fd.as_fd(),
                Some(LinkNameSpaceType::Network),
            )?;
            Ok(())
        };
        // SAFETY: the closure makes one system call and allocates nothing.
        unsafe { self.pre_exec(enter) }
    }

    fn in_new_mounts(
        &mut self,
        mut setup: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> &mut Self {
        let unshare = move || {
            // SAFETY: the child has one thread, and no code relies on its mount namespace being its parent's.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?;
            rustix::mount::mount_change(
                "/",
                MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
            )?;
            setup()
        };
        // SAFETY: the closure's own part is two system calls; the caller's part is bound by the method's contract, and
        // the allocator of the C library stays usable after a fork.
        unsafe { self.pre_exec(unshare) }
    }

    fn die_with_parent(&mut self) -> &mut Self {
        let parent = rustix::process::getpid();
        let follow = move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have ended before the request was made.
            if rustix::process::getppid() == Some(parent) {
                Ok(())
            } else {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        };
        // SAFETY: the closure makes two system calls and allocates nothing.
        unsafe { self.pre_exec(follow) }
    }

    fn detached(&mut self) -> &mut Self {
        let detach = || {
            rustix::process::setsid()?;
            Ok(())
        };
        // SAFETY: the closure makes one system call and allocates nothing.
        unsafe { self.pre_exec(detach) }
    }
}

/// Whether the process that had this number and began at that time still runs. One that only waits to be reaped does not.
pub fn alive(pid: u32, start_time: u64) -> bool {
    status(pid).is_some_and(|status| {
        status.start_time == start_time && !matches!(status.state, b'Z' | b'X')
    })
}

/// When the process began, in ticks since the machine did: with the pid a name that is never used again.
pub fn start_time(pid: u32) -> Option<u64> {
    status(pid).map(|status| status.start_time)
}

/// Asks a process to end, waits, and kills it if it has not ended by then. No such process is fine.
///
/// A child of ours must still be reaped by `Child::wait`.
pub fn terminate(pid: u32, grace: Duration) -> Result<()> {
    let subject = || format!("process {pid}");
    let fail = |error: rustix::io::Errno| Error::system("end", subject(), error);
    // 0 and negative numbers mean groups of processes to the kernel.
    let number = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| fail(rustix::io::Errno::INVAL))?;
    let process = match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        result => result.map_err(fail)?,
    };
    for (signal, patience) in [(Signal::TERM, grace), (Signal::KILL, KILL_PATIENCE)] {
        match rustix::process::pidfd_send_signal(&process, signal) {
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            result => result.map_err(fail)?,
        }
        if ends_within(&process, patience).map_err(fail)? {
            return Ok(());
        }
    }
    Err(Error::TimedOut {
        operation: "end",
        subject: subject(),
        seconds: KILL_PATIENCE.as_secs(),
    })
}

fn ends_within(process: &OwnedFd, patience: Duration) -> rustix::io::Result<bool> {
    let timeout = Timespec::try_from(patience).unwrap_or(Timespec {
        tv_sec: i64::MAX,
        tv_nsec: 0,
    });
    rustix::io::retry_on_intr(|| {
        rustix::event::poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout))
    })
    .map(|ready| ready > 0)
}

struct Status {
    state: u8,
    start_time: u64,
}

fn status(pid: u32) -> Option<Status> {
    parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name, in brackets, may itself hold brackets and spaces; the fields after it do not.
fn parse(stat: &[u8]) -> Option<Status> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = stat[end + 1..]
        .split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty());
    let state = *fields.next()?.first()?;
    // The state is field 3, the start time field 22.
    let start_time = str::from_utf8(fields.nth(18)?).ok()?.parse().ok()?;
    Some(Status { state, start_time })
}

#[cfg(test)]
mod tests;
