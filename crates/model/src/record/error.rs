//! What is shown of records that are refused.

/// What others wrote, made fit for one line of a status: neither long nor able to steer a terminal.
pub(super) fn shorten(text: &str) -> String {
    const LEN_MAX: usize = 120;
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(LEN_MAX).map(plain).collect();
    if text.chars().nth(LEN_MAX).is_some() {
        short.push('…');
    }
    short
}
