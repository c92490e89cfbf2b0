use super::{contains, version};

#[test]
fn releases_of_distributions_are_understood() {
    let table = [
        ("6.18.5", Some((6, 18))),
        ("6.6-rc1", Some((6, 6))),
        ("6.12.38+deb13-amd64", Some((6, 12))),
        ("5.15.0-91-generic", Some((5, 15))),
        ("mystery", None),
    ];
    for (release, expected) in table {
        assert_eq!(version(release), expected, "{release}");
    }
}

#[test]
fn names_are_found_whole() {
    assert!(contains(b"\0tcx_prog_attach\0x", b"\0tcx_prog_attach\0"));
    assert!(!contains(
        b"\0tcx_prog_attach_old\0",
        b"\0tcx_prog_attach\0"
    ));
}
