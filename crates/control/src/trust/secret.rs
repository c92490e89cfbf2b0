//! The 32 random bytes that a cluster shares with its peers. Nothing here ever shows them.

use std::fmt;

use anyhow::{Result, anyhow};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::TrustError;

pub const LEN: usize = 32;

#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; LEN]);

impl Secret {
    pub fn make() -> Result<Secret> {
        let mut bytes = [0; LEN];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| anyhow!("the system gives no random bytes"))?;
        Ok(Secret(bytes))
    }

    pub fn read(bytes: &[u8]) -> Result<Secret, TrustError> {
        let Ok(known) = <[u8; LEN]>::try_from(bytes) else {
            let hint = hint(bytes);
            return Err(TrustError::SecretLength {
                len: bytes.len(),
                hint,
            });
        };
        if known.iter().all(|byte| *byte == known[0]) {
            return Err(TrustError::SecretWeak);
        }
        Ok(Secret(known))
    }

    pub fn bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

/// What probably happened to it on the way.
fn hint(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_end();
    let is_text = !text.is_empty() && text.is_ascii() && !text.iter().any(u8::is_ascii_control);
    match bytes.len() {
        0 => ": the file was empty",
        33 if bytes.ends_with(b"\n") => ": an end of line was added to it",
        44..=45 if is_text => ": it is still in base64, decode it with `base64 --decode`",
        _ => "",
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
