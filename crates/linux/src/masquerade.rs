//! Masquerade.
use crate::Result;
pub fn install(_mark: u32, _mask: u32) -> Result<()> {
    todo!()
}
pub fn remove() -> Result<()> {
    todo!()
}
pub fn installed() -> Result<bool> {
    todo!()
}
