//! What the tests share: namespaces that go away with them, and waiting for a condition.
//!
//! The tests run as root and touch only what they made themselves.

use crate::{link::Veth, netlink::Netlink, netns::Netns};
use ipnet::IpNet;
use std::{
    fs,
    net::IpAddr,
    ops::Deref,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

const DEADLINE: Duration = Duration::from_secs(10);

/// A name that no other test, run or process uses.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "tombolo-test-{what}-{}-{}",
        process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A network namespace of the test's own.
pub struct Scratch {
    name: String,
    netns: Netns,
}

impl Scratch {
    pub fn new() -> Scratch {
        let name = unique("net");
        let netns = Netns::create(&name).unwrap();
        Scratch { name, netns }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn netlink(&self) -> Netlink {
        Netlink::open_in(&self.netns).unwrap()
    }

    /// Joins this one by `name` with another by `peer_name`, both up and with these addresses.
    pub fn join(
        &self,
        name: &str,
        here: &[&str],
        other: &Scratch,
        peer_name: &str,
        there: &[&str],
    ) {
        let (near, far) = (self.netlink(), other.netlink());
        near.create_veth(&Veth {
            name,
            peer_name,
            peer_netns: Some(other),
            ..Veth::default()
        })
        .unwrap();
        for (netlink, name, addresses) in [(near, name, here), (far, peer_name, there)] {
            let index = netlink.link(name).unwrap().unwrap().index;
            netlink.set_up(index).unwrap();
            addresses
                .iter()
                .for_each(|address| netlink.add_address(index, net(address)).unwrap());
        }
    }
}

impl Deref for Scratch {
    type Target = Netns;

    fn deref(&self) -> &Netns {
        &self.netns
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        Netns::delete(&self.name).unwrap();
    }
}

/// A folder of the test's own.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let path = Path::new("/tmp").join(unique("folder"));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Asks again until there is an answer.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            begin.elapsed() < DEADLINE,
            "{what}: not within {DEADLINE:?}"
        );
        thread::sleep(Duration::from_millis(2));
    }
}

pub fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
