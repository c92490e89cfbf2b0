//! The common name in a certificate. Deliberately checks nothing: who presents one was verified by the TLS library.

#[cfg(test)]
mod tests;

/// Tags of the encoding (X.690) that lead to the subject.
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const OBJECT: u8 = 0x06;
/// The attribute 2.5.4.3, a common name.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The first common name of the subject, if there is one.
pub fn common_name(certificate: &[u8]) -> Option<String> {
    let (certificate, _) = read(certificate, SEQUENCE)?;
    let (mut body, _) = read(certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        body = skip(body)?;
    }
    // Serial number, algorithm of the signature, issuer, validity.
    for _ in 0..4 {
        body = skip(body)?;
    }
    let (mut subject, _) = read(body, SEQUENCE)?;
    while !subject.is_empty() {
        let (mut set, rest) = read(subject, SET)?;
        subject = rest;
        while !set.is_empty() {
            let (attribute, rest) = read(set, SEQUENCE)?;
            set = rest;
            let (kind, value) = read(attribute, OBJECT)?;
            if kind == COMMON_NAME {
                let (_, text, _) = element(value)?;
                return String::from_utf8(text.to_vec()).ok();
            }
        }
    }
    None
}

/// The content of the first element, which must be of this kind, and what follows after it.
fn read(bytes: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    (tag == expected).then_some((content, rest))
}

fn skip(bytes: &[u8]) -> Option<&[u8]> {
    element(bytes).map(|(_, _, rest)| rest)
}

fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, bytes) = bytes.split_first()?;
    let (length, bytes) = if first < 0x80 {
        (usize::from(first), bytes)
    } else {
        let (digits, bytes) = bytes.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        let length = digits
            .iter()
            .fold(0, |length, digit| length << 8 | usize::from(*digit));
        (length, bytes)
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    Some((tag, content, rest))
}
