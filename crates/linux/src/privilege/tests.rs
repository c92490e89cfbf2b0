use super::*;

#[test]
fn releases_are_parsed_as_distributions_write_them() {
    for (text, expected) in [
        ("6.18.44-fc-v669", (6, 18)),
        ("6.1.0-18-amd64", (6, 1)),
        ("6.8-rc1", (6, 8)),
        ("7", (7, 0)),
        ("5.15.153.1-microsoft-standard-WSL2", (5, 15)),
        ("", (0, 0)),
    ] {
        assert_eq!(parse_release(text), expected, "{text}");
    }
}

#[test]
fn capabilities_are_read_from_the_status_file() {
    assert_eq!(
        effective_capabilities("Name:\tx\nCapPrm:\t0\nCapEff:\t000001fffeffffff\n"),
        Some(0x1ff_feff_ffff)
    );
    assert_eq!(effective_capabilities("Name:\tx\n"), None);
    assert_eq!(
        missing_capabilities(),
        Vec::<&str>::new(),
        "these tests run as root"
    );
}
