use super::*;
use crate::testing::{Scratch, wait_for};

/// From `linux/bpf.h`.
const MAP_CREATE: i64 = 0;
const PROG_LOAD: i64 = 5;
const LINK_CREATE: i64 = 28;
const ARRAY: u32 = 2;
const SCHED_CLS: u32 = 3;
const TCX_INGRESS: u32 = 46;

#[repr(C)]
struct MapCreate {
    /// Type, key size, value size, entries, flags, inner map, NUMA node.
    numbers: [u32; 7],
    name: [u8; NAME_LENGTH],
}

#[repr(C)]
struct ProgramLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 2],
    log_buffer: u64,
    version: u32,
    flags: u32,
    name: [u8; NAME_LENGTH],
}

#[repr(C)]
struct LinkCreate {
    program: u32,
    ifindex: u32,
    attach: u32,
    flags: u32,
}

fn make<T>(command: i64, mut attributes: T) -> OwnedFd {
    let fd = bpf(command, &mut attributes).unwrap();
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A name that no other process of this test uses.
fn name(what: &str) -> ([u8; NAME_LENGTH], String) {
    let text = format!("t{}{what}", std::process::id());
    let mut name = [0; NAME_LENGTH];
    name[..text.len()].copy_from_slice(text.as_bytes());
    (name, text)
}

fn load(name: [u8; NAME_LENGTH]) -> OwnedFd {
    // r0 = 0; exit
    let instructions: [u64; 2] = [0xb7, 0x95];
    make(
        PROG_LOAD,
        ProgramLoad {
            kind: SCHED_CLS,
            instruction_count: 2,
            instructions: instructions.as_ptr() as u64,
            license: c"MIT".as_ptr() as u64,
            log: [0; 2],
            log_buffer: 0,
            version: 0,
            flags: 0,
            name,
        },
    )
}

fn named(kind: Kind, name: &str) -> Option<Object> {
    let mut objects = objects(kind).unwrap().into_iter();
    objects.find(|object| object.name == name)
}

#[test]
fn maps_are_listed_while_they_last() {
    let (name, text) = name("map");
    assert_eq!(named(Kind::Map, &text), None);
    let map = make(
        MAP_CREATE,
        MapCreate {
            numbers: [ARRAY, 4, 4, 1, 0, 0, 0],
            name,
        },
    );
    assert!(named(Kind::Map, &text).is_some());
    assert_eq!(named(Kind::Program, &text), None);
    drop(map);
    wait_for("the end of the map", || {
        named(Kind::Map, &text).is_none().then_some(())
    });
}

#[test]
fn links_tell_their_program() {
    let scratch = Scratch::new();
    let (name, text) = name("prog");
    let program = load(name);
    let id = named(Kind::Program, &text).expect("it was loaded").id;
    let count = || {
        let links = objects(Kind::Link).unwrap();
        links.iter().filter(|link| link.program == id).count()
    };
    assert_eq!(count(), 0);
    let attributes = LinkCreate {
        program: program.as_raw_fd().cast_unsigned(),
        ifindex: scratch.netlink().link("lo").unwrap().unwrap().index,
        attach: TCX_INGRESS,
        flags: 0,
    };
    let link = scratch.run(|| make(LINK_CREATE, attributes)).unwrap();
    drop(program);
    assert_eq!(count(), 1);
    assert!(named(Kind::Program, &text).is_some(), "the link holds it");
    drop(link);
    wait_for("the end of both", || {
        (count() == 0 && named(Kind::Program, &text).is_none()).then_some(())
    });
}
