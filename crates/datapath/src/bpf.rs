//! The few calls of bpf(2) that the loader's library does not offer.

use std::{
    io,
    mem::size_of,
    os::fd::{AsRawFd, BorrowedFd},
};
use tombolo_abi::{Flow, FlowKey};

const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
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

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<()> {
    // SAFETY: `attributes` is a prefix of `union bpf_attr` whose pointers the caller keeps alive, and its size is told.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
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
            Ok(()) => {}
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
