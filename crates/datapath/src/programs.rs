//! The kernel programs: built into the binary, loaded over maps that are pinned.

use crate::{Error, maps::to_addr};
use aya::{
    Ebpf, EbpfLoader,
    programs::{CgroupSockAddr, SchedClassifier},
};
use ipnet::IpNet;
use std::{net::IpAddr, path::Path};
use tombolo_abi::{Addr, Settings, setting};

use crate::Config;

/// Maps that outlive the programs. The others are scratch.
const PINNED: [&str; 23] = [
    "FLOWS",
    "ENDPOINTS",
    "NODES",
    "NODE_SLOTS",
    "ADDRESSES",
    "EPOCHS",
    "POLICY",
    "PATH_MTU",
    "FRAGMENTS",
    "COUNTERS",
    "EVENTS",
    "MONITOR",
    "FRONTENDS",
    "SOURCES",
    "POOLS",
    "SLOTS",
    "BACKENDS",
    "MAGLEV",
    "CLIENTS",
    "SOCKET_FRONTENDS",
    "SOCKET_BACKENDS",
    "NAME_SOCKETS",
    "TRANSLATIONS",
];

pub const FROM_CONTAINER: &str = "from_container";
pub const FROM_HOST: &str = "from_host";
pub const FROM_UPLINK: &str = "from_uplink";
pub const FROM_OVERLAY: &str = "from_overlay";
/// Those that look at what the two above leave to the node's own stack.
pub const OUTSIDE: &str = "outside";
pub const OUTSIDE_OVERLAY: &str = "outside_overlay";
/// That which sees what leaves.
pub const TO_UPLINK: &str = "to_uplink";
/// Those at devices.
pub const ALL: [&str; 7] = [
    FROM_CONTAINER,
    FROM_HOST,
    FROM_UPLINK,
    FROM_OVERLAY,
    OUTSIDE,
    OUTSIDE_OVERLAY,
    TO_UPLINK,
];
/// Those at sockets, which are attached to a control group.
pub const AT_SOCKETS: [&str; 8] = [
    "connect4",
    "connect6",
    "sendmsg4",
    "sendmsg6",
    "recvmsg4",
    "recvmsg6",
    "getpeername4",
    "getpeername6",
];

/// However few flows a node remembers.
const TRANSLATIONS_MIN: u32 = 1 << 12;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tombolo-programs"));

/// Loads all programs; maps that are pinned in `folder` are taken over, others are made and pinned there.
pub fn load(folder: &Path, settings: &Settings, config: &Config) -> Result<Ebpf, Error> {
    let mut loader = EbpfLoader::new();
    loader
        .override_global("SETTINGS", settings, true)
        .map_max_entries("FLOWS", config.flows_max)
        .map_max_entries("TRANSLATIONS", (config.flows_max / 4).max(TRANSLATIONS_MIN))
        .map_max_entries("SLOTS", config.backends_max)
        .map_max_entries("BACKENDS", config.backends_max);
    for name in PINNED {
        loader.map_pin_path(name, folder.join(name));
    }
    let mut ebpf = loader
        .load(OBJECT)
        .map_err(|error| Error::Load(Box::new(error)))?;
    for name in ALL {
        let program = get(&mut ebpf, name)?;
        program.load().map_err(|source| Error::Program {
            name,
            source: Box::new(source),
        })?;
    }
    for name in AT_SOCKETS {
        let program = at_sockets(&mut ebpf, name)?;
        program.load().map_err(|source| Error::Program {
            name,
            source: Box::new(source),
        })?;
    }
    Ok(ebpf)
}

pub fn get<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier, Error> {
    let program = ebpf.program_mut(name).ok_or(Error::Missing { name })?;
    program.try_into().map_err(|source| Error::Program {
        name,
        source: Box::new(source),
    })
}

pub fn at_sockets<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut CgroupSockAddr, Error> {
    let program = ebpf.program_mut(name).ok_or(Error::Missing { name })?;
    program.try_into().map_err(|source| Error::Program {
        name,
        source: Box::new(source),
    })
}

/// What the programs see as constants.
pub fn settings(config: &Config, vxlan_ifindex: u32, netns: u64) -> Settings {
    let of_family = |is_v4: bool| {
        let own = config
            .node_addresses
            .iter()
            .find(|address| address.is_ipv4() == is_v4);
        own.map_or(Addr::default(), |address| to_addr(*address))
    };
    let range = |is_v4: bool| {
        let range = config
            .pod_ranges
            .iter()
            .find(|range| matches!(range, IpNet::V4(_)) == is_v4);
        range.map_or(NO_RANGE, |range| network_and_mask(*range))
    };
    Settings {
        node_v4: of_family(true),
        node_v6: of_family(false),
        router_v4: config
            .router
            .v4
            .map_or(Addr::default(), |v4| to_addr(IpAddr::V4(v4))),
        router_v6: config
            .router
            .v6
            .map_or(Addr::default(), |v6| to_addr(IpAddr::V6(v6))),
        pods_v4: range(true),
        pods_v6: range(false),
        vxlan_ifindex,
        pod_mtu: config.pod_mtu,
        identity_shift: u32::from(config.identity_shift),
        flags: if config.masquerade {
            setting::MASQUERADE
        } else {
            0
        },
        cluster: u32::from(config.cluster.0),
        _pad: 0,
        netns,
    }
}

/// A network of ones under a mask of zeros: no address is within.
const NO_RANGE: [Addr; 2] = [
    Addr {
        words: [u64::MAX; 2],
    },
    Addr { words: [0; 2] },
];

fn network_and_mask(range: IpNet) -> [Addr; 2] {
    let bits = match range {
        IpNet::V4(v4) => 96 + u32::from(v4.prefix_len()),
        IpNet::V6(v6) => u32::from(v6.prefix_len()),
    };
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    [
        to_addr(range.network()),
        Addr::from_bytes(mask.to_be_bytes()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_addresses_and_no_others() {
        let within = |range: &str, address: &str| {
            let [network, mask] = network_and_mask(range.parse().expect("a range"));
            let address = to_addr(address.parse().expect("an address"));
            (0..2).all(|i| address.words[i] & mask.words[i] == network.words[i])
        };
        assert!(within("10.1.2.0/24", "10.1.2.255"));
        assert!(!within("10.1.2.0/24", "10.1.3.0"));
        assert!(!within("10.1.2.0/24", "::a01:200"));
        assert!(within("fd00:10:1::/48", "fd00:10:1:ffff::1"));
        assert!(!within("fd00:10:1::/48", "fd00:10:2::1"));
    }
}
