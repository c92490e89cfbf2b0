//! Asks the kernel for what the programs need, before anything is touched.

use crate::Error;
use tombolo_linux::privilege;

/// The first kernel with tcx.
const KERNEL_MIN: (u32, u32) = (6, 6);

/// Says in one line what is missing, and what to do about it.
pub fn probe() -> Result<(), Error> {
    let missing = privilege::missing_capabilities();
    if !missing.is_empty() {
        return Err(Error::Capabilities {
            missing: missing.join(", "),
        });
    }
    let (major, minor) = privilege::kernel_release();
    if (major, minor) < KERNEL_MIN {
        return Err(Error::Kernel { major, minor });
    }
    if !privilege::has_btf() {
        return Err(Error::Btf);
    }
    crate::bpf::can_query_tcx().map_err(Error::Tcx)
}
