//! The words of the CNI specification that go out: versions and results.
//!
//! Deliberately without `ip4` and `ip6`, the form before version 0.3.0; nobody runs that.

mod outcome;
mod version;

pub use outcome::{Address, Dns, Interface, Outcome, Route};
pub use version::{Version, versions};
