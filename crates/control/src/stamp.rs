//! Points in time as Kubernetes writes them.

use std::time::SystemTime;

use time::OffsetDateTime;

#[expect(
    clippy::disallowed_methods,
    reason = "others read these stamps as times of day"
)]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// To the second, like `2026-11-26T06:44:56Z`.
pub fn stamp(time: SystemTime) -> String {
    let (date, clock, _) = parts(time);
    format!("{date}T{clock}Z")
}

/// To the microsecond, which leases and events want.
pub fn micro_stamp(time: SystemTime) -> String {
    let (date, clock, micros) = parts(time);
    format!("{date}T{clock}.{micros:06}Z")
}

fn parts(time: SystemTime) -> (String, String, u32) {
    let time = OffsetDateTime::from(time);
    let date = format!(
        "{:04}-{:02}-{:02}",
        time.year(),
        u8::from(time.month()),
        time.day()
    );
    let clock = format!(
        "{:02}:{:02}:{:02}",
        time.hour(),
        time.minute(),
        time.second()
    );
    (date, clock, time.microsecond())
}

#[cfg(test)]
#[test]
fn stamps_are_as_kubernetes_writes_them() {
    let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(1_764_139_496_000_007);
    assert_eq!(stamp(time), "2025-11-26T06:44:56Z");
    assert_eq!(micro_stamp(time), "2025-11-26T06:44:56.000007Z");
}
