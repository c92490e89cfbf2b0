use super::*;

/// Few enough for every run of the tests; `cargo xtask bench kubernetes` does the same with ten thousand.
const OBJECTS: usize = 600;

#[test]
fn kube_apiserver_sees_no_difference() {
    let program = binaries("debug").join("tombolo");
    assert!(
        program.is_file(),
        "{} is not there; run `cargo build -p tombolo-cli` first",
        program.display()
    );
    let [ours, etcd] = [Side::Tombolo, Side::Etcd].map(|side| {
        one(side, &program, OBJECTS).unwrap_or_else(|error| panic!("{}: {error:#}", side.name()))
    });
    differences(&ours.seen, &etcd.seen).unwrap();
}

#[test]
fn a_difference_is_shown_with_its_step() {
    let seen = |what: &str| {
        vec![work::Seen {
            step: "a step",
            what: what.to_owned(),
        }]
    };
    assert!(differences(&seen("same"), &seen("same")).is_ok());
    let error = differences(&seen("one"), &seen("other")).unwrap_err();
    assert!(
        error.to_string().contains("a step:\n  one\n  other"),
        "{error}"
    );
    assert!(differences(&seen("same"), &[]).is_err());
}
