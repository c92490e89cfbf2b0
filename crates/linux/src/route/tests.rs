use super::*;
use crate::testing::{Scratch, ip, net};

const OURS: u8 = 0xbb;

fn plain(destination: &str, ifindex: u32) -> Route {
    Route {
        destination: net(destination),
        via: None,
        ifindex,
        source: None,
        mtu: None,
        scope_link: true,
        onlink: false,
        protocol: OURS,
        metric: None,
        blackhole: false,
    }
}

/// A namespace with a link that has a neighbour's network on it.
fn with_link() -> (Scratch, Scratch, Netlink, u32) {
    let (here, there) = (Scratch::new(), Scratch::new());
    here.join(
        "near",
        &["10.9.0.1/24", "fd00:9::1/64"],
        &there,
        "far",
        &["10.9.0.2/24", "fd00:9::2/64"],
    );
    let netlink = here.netlink();
    let index = netlink.link("near").unwrap().unwrap().index;
    (here, there, netlink, index)
}

#[test]
fn routes_are_read_back_as_written() {
    let (_here, _there, netlink, index) = with_link();
    let gateway = |destination, via| Route {
        via: Some(ip(via)),
        scope_link: false,
        ..plain(destination, index)
    };
    let wanted = [
        plain("10.1.0.0/16", index),
        Route {
            mtu: Some(1400),
            source: Some(ip("10.9.0.1")),
            ..gateway("10.2.0.0/16", "10.9.0.2")
        },
        gateway("10.3.0.0/16", "fd00:9::2"),
        Route {
            onlink: true,
            ..gateway("10.4.0.0/16", "192.0.2.1")
        },
        Route {
            blackhole: true,
            ifindex: 0,
            scope_link: false,
            ..plain("10.5.0.0/16", 0)
        },
        Route {
            metric: Some(7),
            ..plain("10.6.0.0/16", index)
        },
        gateway("0.0.0.0/0", "10.9.0.2"),
        Route {
            metric: Some(1024),
            ..plain("fd01::/64", index)
        },
        Route {
            metric: Some(1024),
            mtu: Some(1380),
            source: Some(ip("fd00:9::1")),
            ..gateway("fd02::/64", "fd00:9::2")
        },
        Route {
            metric: Some(1024),
            blackhole: true,
            scope_link: false,
            ..plain("fd03::/64", 0)
        },
        Route {
            metric: Some(5),
            ..gateway("::/0", "fd00:9::2")
        },
    ];
    for route in wanted.iter().chain(&wanted) {
        netlink.replace_route(route).unwrap();
    }
    let found = netlink.routes(Some(OURS)).unwrap();
    for route in &wanted {
        assert!(found.contains(route), "{route:?} not in {found:#?}");
    }
    assert_eq!(found.len(), wanted.len());
    assert!(
        netlink.routes(None).unwrap().len() > found.len(),
        "the kernel's own routes are listed too"
    );

    for route in wanted.iter().chain(&wanted) {
        netlink.delete_route(route).unwrap();
    }
    assert_eq!(netlink.routes(Some(OURS)).unwrap(), []);
}

#[test]
fn lookup_gives_the_kernels_answer() {
    let (_here, _there, netlink, index) = with_link();
    assert_eq!(
        netlink.lookup(ip("10.2.3.4")).unwrap_err().errno(),
        Some(libc::ENETUNREACH)
    );
    assert_eq!(
        netlink.lookup(ip("fd02::4")).unwrap_err().errno(),
        Some(libc::ENETUNREACH)
    );
    for (destination, via, address, source) in [
        ("10.2.0.0/16", "10.9.0.2", "10.2.3.4", "10.9.0.1"),
        ("fd02::/64", "fd00:9::2", "fd02::4", "fd00:9::1"),
    ] {
        let route = Route {
            via: Some(ip(via)),
            mtu: Some(1400),
            scope_link: false,
            ..plain(destination, index)
        };
        netlink.replace_route(&route).unwrap();
        let hop = |via, mtu| NextHop {
            ifindex: index,
            via,
            source: Some(ip(source)),
            mtu,
        };
        assert_eq!(
            netlink.lookup(ip(address)).unwrap(),
            hop(Some(ip(via)), Some(1400))
        );
        assert_eq!(netlink.lookup(ip(via)).unwrap(), hop(None, None));

        netlink
            .replace_route(&Route {
                mtu: Some(1300),
                ..route
            })
            .unwrap();
        assert_eq!(netlink.lookup(ip(address)).unwrap().mtu, Some(1300));
    }
}

#[test]
fn namespace_without_routes_lists_none() {
    let scratch = Scratch::new();
    assert_eq!(scratch.netlink().routes(Some(OURS)).unwrap(), []);
}
