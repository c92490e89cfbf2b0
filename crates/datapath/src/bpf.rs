//! The few calls of bpf(2) that the loader's library does not offer.

use aya::Pod;
use std::{
    ffi::CString,
    io,
    mem::size_of,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};
use tombolo_abi::{Flow, FlowKey};

const BPF_OBJ_GET: libc::c_long = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;
const BPF_LINK_UPDATE: libc::c_long = 29;
const BPF_LINK_TYPE_CGROUP: u32 = 3;
const BPF_TCX_INGRESS: u32 = 46;

#[repr(C)]
#[derive(Default)]
struct Query {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    _pad: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

#[repr(C)]
#[derive(Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct Get {
    path: u64,
    fd: u32,
    file_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct InfoByFd {
    fd: u32,
    length: u32,
    info: u64,
}

/// `struct bpf_link_info`, as far as it tells of a control group.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    _pad: u32,
    cgroup: u64,
    attach_type: u32,
    _pad2: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: `attributes` is a prefix of `union bpf_attr` whose pointers the caller keeps alive, and its size is told.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Opens what is pinned at a path.
pub fn pinned(path: &Path) -> io::Result<OwnedFd> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut get = Get {
        path: name.as_ptr() as u64,
        ..Get::default()
    };
    let fd = bpf(BPF_OBJ_GET, &mut get)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The number of the control group that a link is at; 0 when the group is gone.
pub fn group_of_link(link: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = LinkInfo::default();
    let mut ask = InfoByFd {
        fd: link.as_raw_fd().cast_unsigned(),
        length: size_of::<LinkInfo>() as u32,
        info: &raw mut info as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut ask)?;
    if info.kind != BPF_LINK_TYPE_CGROUP {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(info.cgroup)
}

/// Puts a program in the place of the one that a link holds.
pub fn replace_in_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut update = LinkUpdate {
        link_fd: link.as_raw_fd().cast_unsigned(),
        new_prog_fd: program.as_raw_fd().cast_unsigned(),
        ..LinkUpdate::default()
    };
    bpf(BPF_LINK_UPDATE, &mut update).map(drop)
}

/// Asks for the programs at the loopback device: a kernel without tcx does not know the question.
pub fn can_query_tcx() -> io::Result<()> {
    bpf(
        BPF_PROG_QUERY,
        &mut Query {
            target_ifindex: 1,
            attach_type: BPF_TCX_INGRESS,
            ..Query::default()
        },
    )
    .map(drop)
}

/// Writes rows of a map, in their order.
pub fn update_all<K: Pod, V: Pod>(map: BorrowedFd<'_>, keys: &[K], values: &[V]) -> io::Result<()> {
    assert_eq!(keys.len(), values.len());
    if keys.is_empty() {
        return Ok(());
    }
    let mut batch = Batch {
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: keys.len() as u32,
        map_fd: map.as_raw_fd().cast_unsigned(),
        ..Batch::default()
    };
    bpf(BPF_MAP_UPDATE_BATCH, &mut batch).map(drop)
}

/// About how many entries the flow table has: whole when it is small, else from the first buckets.
pub fn estimate_flows(map: BorrowedFd<'_>, size: u64) -> io::Result<u64> {
    const ENTRIES: usize = 4096;
    const ROUNDS: usize = 8;
    let mut keys = vec![FlowKey::default(); ENTRIES];
    let mut values = vec![Flow::default(); ENTRIES];
    let (mut from, mut to) = (0u32, 0u32);
    let (mut found, mut is_first) = (0u64, true);
    for _ in 0..ROUNDS {
        let mut batch = Batch {
            in_batch: if is_first { 0 } else { &raw const from as u64 },
            out_batch: &raw mut to as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: ENTRIES as u32,
            map_fd: map.as_raw_fd().cast_unsigned(),
            ..Batch::default()
        };
        let result = bpf(BPF_MAP_LOOKUP_BATCH, &mut batch);
        found += u64::from(batch.count);
        match result {
            Ok(_) => {}
            // The end of the table.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(found),
            Err(error) => return Err(error),
        }
        is_first = false;
        from = to;
    }
    let buckets = size.next_power_of_two();
    Ok((found * buckets / u64::from(to).max(1)).min(size))
}
