use super::*;
use crate::testing::unique;
use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command},
};

fn sleeper() -> Child {
    Command::new("sleep").arg("1000").spawn().unwrap()
}

#[test]
fn removal_ends_what_is_in_the_group_and_below() {
    let name = unique("cgroup");
    let nested = format!("{name}/pod");
    assert!(create(&nested).unwrap().is_dir());
    create(&nested).unwrap();
    assert_eq!(pids(&name).unwrap(), [0; 0]);
    let mut children = [sleeper(), sleeper()];
    add(&name, children[0].id()).unwrap();
    add(&nested, children[1].id()).unwrap();
    assert_eq!(pids(&name).unwrap(), children.each_ref().map(Child::id));
    assert_eq!(pids(&nested).unwrap(), [children[1].id()]);

    remove(&name).unwrap();
    for child in &mut children {
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
    assert!(!root().join(&name).exists());
    remove(&name).unwrap();
    assert_eq!(pids(&name).unwrap(), [0; 0]);
}

#[test]
fn names_that_leave_the_hierarchy_are_refused() {
    for name in ["", "/", "/tombolo", "..", "a/../..", "./a", "../a"] {
        assert!(matches!(create(name), Err(Error::Name { .. })), "{name}");
        assert!(matches!(remove(name), Err(Error::Name { .. })), "{name}");
    }
}

#[test]
fn process_that_is_gone_cannot_be_added() {
    let name = unique("cgroup");
    create(&name).unwrap();
    let mut child = sleeper();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(add(&name, child.id()).unwrap_err().is_not_found());
    remove(&name).unwrap();
}

#[test]
fn a_group_of_every_hierarchy_is_listed_once_and_goes_from_all() {
    let name = unique("everywhere");
    create_everywhere(&name).unwrap();
    let roots = [root()].into_iter().chain(legacy::roots());
    let places: Vec<PathBuf> = roots.map(|root| root.join(&name)).collect();
    assert!(places.iter().all(|place| place.is_dir()), "{places:?}");
    let listed = names().unwrap();
    assert_eq!(listed.iter().filter(|found| **found == name).count(), 1);
    for place in &places {
        fs::create_dir(place.join("below")).unwrap();
    }
    remove(&name).unwrap();
    assert!(!places.iter().any(|place| place.exists()), "{places:?}");
    remove(&name).unwrap();
}

#[test]
fn a_group_that_only_an_older_hierarchy_has_goes_too() {
    let name = unique("older");
    let Some(root) = legacy::roots().pop() else {
        eprintln!("this machine has the unified hierarchy alone, which leaves nothing to test");
        return;
    };
    fs::create_dir(root.join(&name)).unwrap();
    assert!(names().unwrap().contains(&name));
    remove(&name).unwrap();
    assert!(!root.join(&name).exists());
}
