use super::*;
use crate::{
    mount,
    testing::{Folder, Scratch, wait_for},
};
use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Stdio},
    thread,
};

fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000");
    command
}

fn end(mut child: Child) -> Option<i32> {
    terminate(child.id(), Duration::from_secs(10)).unwrap();
    child.wait().unwrap().signal()
}

#[test]
fn process_is_asked_first_and_killed_if_deaf() {
    assert_eq!(end(sleeper().spawn().unwrap()), Some(libc::SIGTERM));

    let script = "trap '' TERM; echo ready; exec sleep 1000";
    let mut deaf = Command::new("sh")
        .args(["-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(deaf.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    terminate(deaf.id(), Duration::from_millis(50)).unwrap();
    assert_eq!(deaf.wait().unwrap().signal(), Some(libc::SIGKILL));
    terminate(deaf.id(), Duration::ZERO).unwrap();
}

#[test]
fn groups_of_processes_are_out_of_reach() {
    for pid in [0, u32::MAX, 1 << 31] {
        assert_eq!(
            terminate(pid, Duration::ZERO).unwrap_err().errno(),
            Some(libc::EINVAL),
            "{pid}"
        );
    }
}

#[test]
fn process_lives_until_it_ends_even_if_not_reaped() {
    let mut child = sleeper().spawn().unwrap();
    let pid = child.id();
    let start = start_time(pid).unwrap();
    assert!(alive(pid, start));
    assert!(!alive(pid, start + 1), "another one of that number");
    terminate(pid, Duration::from_secs(10)).unwrap();
    assert!(!alive(pid, start), "waits to be reaped");
    child.wait().unwrap();
    assert!(!alive(pid, start));
    assert_eq!(start_time(pid), None);
}

#[test]
fn names_with_brackets_and_spaces_are_stepped_over() {
    let fields: Vec<_> = (4..=30).map(|field| field.to_string()).collect();
    let line = format!("42 (a) Z (b) S {}\n", fields.join(" "));
    let status = parse(line.as_bytes()).unwrap();
    assert_eq!((status.state, status.start_time), (b'S', 22));
    assert!(parse(b"42 (a) S 1 2 3").is_none());
    assert!(parse(b"").is_none());
}

#[test]
fn process_starts_in_the_namespaces_asked_for() {
    let (scratch, folder) = (Scratch::new(), Folder::new());
    let dir = folder.join("apart");
    let target = dir.clone();
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "readlink /proc/self/ns/net; grep -c \"$0 \" /proc/self/mountinfo",
        ])
        .arg(&dir);
    command
        .in_netns(&scratch)
        .in_new_mounts(move || mount::tmpfs(&target).map_err(io::Error::other));
    let output = command.output().unwrap();
    let inode = scratch.cookie_or_inode().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("net:[{inode}]\n1\n")
    );
    assert!(!mount::mounts().unwrap().contains(&dir));
}

#[test]
fn failing_setup_is_the_error_of_the_start() {
    let mut command = sleeper();
    command.in_new_mounts(|| Err(io::Error::from_raw_os_error(libc::ENOTDIR)));
    assert_eq!(
        command.spawn().unwrap_err().raw_os_error(),
        Some(libc::ENOTDIR)
    );
}

#[test]
fn detached_process_has_a_session_of_its_own() {
    let child = sleeper().detached().spawn().unwrap();
    let pid = Pid::from_child(&child);
    assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid);
    end(child);
}

#[test]
fn process_ends_with_the_thread_that_started_it() {
    let mut child = thread::spawn(|| sleeper().die_with_parent().spawn().unwrap())
        .join()
        .unwrap();
    let status = wait_for("end of the child", || child.try_wait().unwrap());
    assert_eq!(status.signal(), Some(libc::SIGKILL));
}
