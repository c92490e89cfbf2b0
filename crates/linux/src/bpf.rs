//! What the kernel holds of eBPF, whoever loaded it: programs, maps and links by their numbers.
//!
//! Looks only; loading is the data path's.

use crate::{Error, Result};
use std::{
    ffi::{c_long, c_uint},
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// From `enum bpf_cmd` of `linux/bpf.h`.
mod command {
    pub const PROG_GET_NEXT_ID: i64 = 11;
    pub const MAP_GET_NEXT_ID: i64 = 12;
    pub const PROG_GET_FD_BY_ID: i64 = 13;
    pub const MAP_GET_FD_BY_ID: i64 = 14;
    pub const OBJ_GET_INFO_BY_FD: i64 = 15;
    pub const LINK_GET_FD_BY_ID: i64 = 30;
    pub const LINK_GET_NEXT_ID: i64 = 31;
}

const NAME_LENGTH: usize = 16;

/// What sort of thing to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Program,
    Map,
    /// What holds a program where it stands.
    Link,
}

/// A thing that the kernel holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Never given again before the machine restarts.
    pub id: u32,
    /// The first 15 letters of what its maker called it. Links have none: theirs is empty.
    pub name: String,
    /// A link's program; 0 for programs and maps.
    pub program: u32,
}

/// All of a kind. What comes or goes meanwhile may be missing.
pub fn objects(kind: Kind) -> Result<Vec<Object>> {
    let mut found = Vec::new();
    let mut id = 0;
    loop {
        id = match next_id(kind, id) {
            Ok(id) => id,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(found),
            Err(error) => return Err(Error::system("list", kind.words(), error)),
        };
        match describe(kind, id) {
            Ok(object) => found.push(object),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => {
                return Err(Error::system(
                    "look at",
                    format!("number {id} of the {}", kind.words()),
                    error,
                ));
            }
        }
    }
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Kind::Program => "eBPF programs",
            Kind::Map => "eBPF maps",
            Kind::Link => "eBPF links",
        }
    }
}

/// The part of `union bpf_attr` that asks by number.
#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// The part of `union bpf_attr` that asks for a description.
#[repr(C)]
struct ByFd {
    fd: u32,
    length: u32,
    info: u64,
}

/// The first fields of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    lengths: [u32; 2],
    texts: [u64; 2],
    load_time: u64,
    uid: u32,
    map_count: u32,
    map_ids: u64,
    name: [u8; NAME_LENGTH],
}

/// The first fields of `struct bpf_map_info`.
#[repr(C)]
#[derive(Default)]
struct MapInfo {
    kind: u32,
    id: u32,
    sizes: [u32; 4],
    name: [u8; NAME_LENGTH],
}

/// The first fields of `struct bpf_link_info`.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    rest: u32,
}

fn next_id(kind: Kind, id: u32) -> io::Result<u32> {
    let command = match kind {
        Kind::Program => command::PROG_GET_NEXT_ID,
        Kind::Map => command::MAP_GET_NEXT_ID,
        Kind::Link => command::LINK_GET_NEXT_ID,
    };
    let mut attributes = ById {
        id,
        ..ById::default()
    };
    bpf(command, &mut attributes)?;
    Ok(attributes.next_id)
}

fn describe(kind: Kind, id: u32) -> io::Result<Object> {
    let (name, program) = match kind {
        Kind::Program => {
            let fd = open(command::PROG_GET_FD_BY_ID, id)?;
            (info::<ProgramInfo>(&fd)?.name, 0)
        }
        Kind::Map => {
            let fd = open(command::MAP_GET_FD_BY_ID, id)?;
            (info::<MapInfo>(&fd)?.name, 0)
        }
        Kind::Link => {
            let fd = open(command::LINK_GET_FD_BY_ID, id)?;
            ([0; NAME_LENGTH], info::<LinkInfo>(&fd)?.program)
        }
    };
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Object {
        id,
        name: String::from_utf8_lossy(name).into_owned(),
        program,
    })
}

fn open(command: i64, id: u32) -> io::Result<OwnedFd> {
    let mut attributes = ById {
        id,
        ..ById::default()
    };
    let fd = bpf(command, &mut attributes)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Plain data of the kernel's, whose every bit pattern is valid.
trait Info: Default {}
impl Info for ProgramInfo {}
impl Info for MapInfo {}
impl Info for LinkInfo {}

/// Zeros ask for no more than the fixed fields.
fn info<T: Info>(fd: &OwnedFd) -> io::Result<T> {
    let mut info = T::default();
    let mut attributes = ByFd {
        fd: fd.as_raw_fd().cast_unsigned(),
        length: size_of::<T>() as u32,
        info: &raw mut info as u64,
    };
    bpf(command::OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok(info)
}

fn bpf<T>(command: i64, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: `attributes` is a prefix of `union bpf_attr` of the told size; where it holds an address, its maker has
    // that memory borrowed until the call returns, and tells its size beside it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as c_long,
            &raw mut *attributes,
            size_of::<T>() as c_uint,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as i32)
}

#[cfg(test)]
mod tests;
