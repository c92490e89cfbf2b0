//! Tells that something in a folder changed. Not what: whoever asks looks at the folder, which is right whatever was lost.

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::{Errno, read},
};
use std::{io, os::fd::OwnedFd, path::Path};
use tokio::io::{Interest, unix::AsyncFd};

pub struct Folder {
    inotify: AsyncFd<OwnedFd>,
}

impl Folder {
    /// Watches from now on; to be called within a runtime.
    pub fn watch(path: &Path) -> io::Result<Folder> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // Files are moved into their place when they are whole; what is written in place is taken when it is closed.
        let flags = WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&fd, path, flags)?;
        #[expect(
            deprecated,
            reason = "an owned descriptor stays open as long as it is registered"
        )]
        let inotify = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Folder { inotify })
    }

    /// Waits until something has changed since the last call. Safe to cancel.
    pub async fn changed(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let mut ready = self.inotify.readable().await?;
            let mut seen = false;
            loop {
                match read(ready.get_inner(), &mut buffer) {
                    Ok(_) => seen = true,
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            ready.clear_ready();
            if seen {
                return Ok(());
            }
        }
    }
}
