use super::*;
use crate::testing::{Scratch, unique};
use std::sync::Barrier;

#[test]
fn created_namespace_is_another_with_loopback_up() {
    let scratch = Scratch::new();
    assert!(Netns::exists(scratch.name()));
    let inode = Netns::named(scratch.name())
        .unwrap()
        .cookie_or_inode()
        .unwrap();
    assert_eq!(inode, scratch.cookie_or_inode().unwrap());
    assert_ne!(inode, Netns::current().unwrap().cookie_or_inode().unwrap());
    let links = scratch.netlink().links().unwrap();
    let names: Vec<_> = links
        .iter()
        .map(|link| (link.name.as_str(), link.up))
        .collect();
    assert_eq!(names, [("lo", true)]);
}

#[test]
fn run_leaves_the_caller_where_it_was() {
    let scratch = Scratch::new();
    let before = Netns::current().unwrap().cookie_or_inode().unwrap();
    let inside = scratch
        .run(|| Netns::current().unwrap().cookie_or_inode().unwrap())
        .unwrap();
    assert_eq!(inside, scratch.cookie_or_inode().unwrap());
    assert_eq!(before, Netns::current().unwrap().cookie_or_inode().unwrap());
}

#[test]
fn second_creation_is_refused_and_harms_nothing() {
    let scratch = Scratch::new();
    assert!(Netns::create(scratch.name()).unwrap_err().is_exists());
    assert_eq!(
        Netns::named(scratch.name())
            .unwrap()
            .cookie_or_inode()
            .unwrap(),
        scratch.cookie_or_inode().unwrap()
    );
}

#[test]
fn deletion_is_idempotent_and_clears_a_bare_file() {
    let name = unique("bare");
    drop(Scratch::new());
    fs::write(Netns::path(&name), "").unwrap();
    Netns::delete(&name).unwrap();
    assert!(!Netns::exists(&name));
    Netns::delete(&name).unwrap();
    assert!(Netns::named(&name).unwrap_err().is_not_found());
}

#[test]
fn many_at_once_all_come_to_be() {
    const COUNT: usize = 8;
    let barrier = Barrier::new(COUNT);
    let make = || {
        barrier.wait();
        let scratch = Scratch::new();
        let inode = Netns::named(scratch.name())
            .unwrap()
            .cookie_or_inode()
            .unwrap();
        (inode, scratch)
    };
    let made: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..COUNT).map(|_| scope.spawn(make)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    let inodes: std::collections::BTreeSet<_> = made.iter().map(|(inode, _)| inode).collect();
    assert_eq!(inodes.len(), COUNT);
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    for name in ["", ".", "..", "a/b", "../x", "a b"] {
        assert!(
            matches!(Netns::create(name), Err(Error::Name { .. })),
            "{name}"
        );
        assert!(
            matches!(Netns::delete(name), Err(Error::Name { .. })),
            "{name}"
        );
    }
}
