//! Programs at devices and at a control group: attached by links that are pinned, so that they stay, and replaced at one
//! instant.

use crate::{Error, bpf, programs};
use aya::{
    Ebpf,
    programs::{
        CgroupAttachMode, LinkOrder, TcAttachType,
        links::{FdLink, PinnedLink},
        tc::{SchedClassifierLink, TcAttachOptions},
    },
};
use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
};

/// Where at a device a program stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stand {
    /// Before all that see what comes in.
    First,
    /// Behind these.
    Last,
    /// Before all that see what goes out.
    Leaving,
}

impl Stand {
    fn side(self) -> TcAttachType {
        match self {
            Stand::First | Stand::Last => TcAttachType::Ingress,
            Stand::Leaving => TcAttachType::Egress,
        }
    }

    fn order(self) -> LinkOrder {
        match self {
            Stand::First | Stand::Leaving => LinkOrder::first(),
            Stand::Last => LinkOrder::last(),
        }
    }
}

/// Puts `program` at `device`, in place of the one that the pinned link holds.
pub fn attach(
    ebpf: &mut Ebpf,
    program: &'static str,
    device: &str,
    stand: Stand,
    pin: &Path,
) -> Result<(), Error> {
    let failed = |source| Error::Attach {
        program,
        device: device.to_owned(),
        source: Box::new(source),
    };
    if let Some(link) = pinned(pin) {
        if programs::get(ebpf, program)?.attach_to_link(link).is_ok() {
            return Ok(());
        }
        // The link's device is gone, and another has its name.
        remove(pin)?;
    }
    let classifier = programs::get(ebpf, program)?;
    let options = TcAttachOptions::TcxOrder(stand.order());
    let id = classifier
        .attach_with_options(device, stand.side(), options)
        .map_err(failed)?;
    keep(classifier.take_link(id).map_err(failed)?, program, pin)
}

/// Puts `program` at the sockets of all processes in and below a control group.
pub fn attach_to_group(
    ebpf: &mut Ebpf,
    program: &'static str,
    group: &Path,
    pin: &Path,
) -> Result<(), Error> {
    let unopened = |source| Error::Group {
        path: group.to_owned(),
        source,
    };
    let folder = File::open(group).map_err(unopened)?;
    // The number of a control group is that of its folder.
    let number = folder.metadata().map_err(unopened)?.ino();
    let attached = programs::at_sockets(ebpf, program)?;
    if let Ok(link) = bpf::pinned(pin) {
        let is_there = bpf::group_of_link(link.as_fd()).is_ok_and(|there| there == number);
        let running = attached.fd().map_err(|source| Error::Program {
            name: program,
            source: Box::new(source),
        })?;
        if is_there && bpf::replace_in_link(link.as_fd(), running.as_fd()).is_ok() {
            return Ok(());
        }
        // Another group was asked for, or the group is gone and another has its name.
        remove(pin)?;
    }
    let failed = |source| Error::Attach {
        program,
        device: group.display().to_string(),
        source: Box::new(source),
    };
    let id = attached
        .attach(&folder, CgroupAttachMode::Single)
        .map_err(failed)?;
    keep(attached.take_link(id).map_err(failed)?, program, pin)
}

/// Pins a link, so that it stays.
fn keep<L>(link: L, program: &'static str, pin: &Path) -> Result<(), Error>
where
    FdLink: TryFrom<L>,
{
    // Never otherwise: with the kernels that we run on both kinds of links are file descriptors.
    let link = FdLink::try_from(link).map_err(|_| Error::Missing { name: program })?;
    link.pin(pin).map_err(|source| Error::Pin {
        path: pin.to_owned(),
        source: Box::new(source),
    })?;
    Ok(())
}

fn pinned(pin: &Path) -> Option<SchedClassifierLink> {
    let link = PinnedLink::from_pin(pin).ok()?;
    SchedClassifierLink::try_from(FdLink::from(link)).ok()
}

/// Takes a program away from its device; nothing to do if the device was gone before.
pub fn remove(pin: &Path) -> Result<(), Error> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Io {
            operation: "removing the pin of a link",
            source: error,
        }),
        _ => Ok(()),
    }
}
