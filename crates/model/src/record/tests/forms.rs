//! The many forms in which the same is written.

use super::*;

#[test]
fn moments_are_dates() {
    let table = [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_799, "2000-02-29T23:59:59Z"),
        (1_735_689_599, "2024-12-31T23:59:59Z"),
        (1_795_244_122, "2026-11-21T06:55:22Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (13_574_563_200, "2400-02-29T00:00:00Z"),
    ];
    for (seconds, text) in table {
        assert_eq!(Timestamp(seconds).to_string(), text);
    }
    // Whatever the clock says, there is an answer.
    assert!(Timestamp(u64::MAX).to_string().ends_with('Z'));
}
