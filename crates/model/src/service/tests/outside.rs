//! Who answers what comes to the node from outside.

use super::*;

const NODE_PORT: u16 = 30_080;

fn open(outside_node_only: bool, node_only: bool) -> Definition {
    let mut port = http(80);
    port.node_port = Some(NODE_PORT);
    Definition {
        ports: vec![port],
        balancer_ips: vec!["203.0.113.7".parse().expect("an address")],
        outside_node_only,
        node_only,
        ..definition("10.96.0.10", global(Affinity::None))
    }
}

/// One backend on this node, one on another, one in another cluster.
fn offer_all(bench: &mut Bench) {
    let mut mixed = offer("c1", "web", &[("10.1.0.1", A), ("10.1.0.2", A)]);
    for (offered, node) in mixed.endpoints.values_mut().zip(["n1", "elsewhere"]) {
        offered.node = Some(node.into());
    }
    bench.offer(OWN, "web-1", mixed);
    bench.share(SECOND, offer("c2", "web", &[("10.2.0.1", A)]));
}

const A: State = State::Active;

/// Who may answer at an address, from inside and from outside; nothing where it is closed.
fn answers(bench: &Bench, ip: &str, port: u16) -> [Option<Vec<String>>; 2] {
    let tables = &bench.kernel.tables;
    let frontend = Frontend {
        ip: ip.parse().expect("an address"),
        port,
        protocol: Protocol::Tcp,
    };
    let path = &tables.frontends[&frontend];
    [Some(path.pool), path.outside].map(|pool| {
        let pool = pool?;
        let rows = tables.backends.iter();
        let rows = rows.filter(|((name, _), path)| *name == pool && path.weight > 0);
        Some(rows.map(|((_, it), _)| it.ip.to_string()).collect())
    })
}

#[test]
fn traffic_policies_are_told_apart() {
    let all = ["10.1.0.1", "10.1.0.2", "10.2.0.1"];
    let here = &all[..1];
    for (external, internal) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut bench = Bench::ready();
        bench.define("web", open(external, internal));
        offer_all(&mut bench);
        let inside = if internal { here } else { &all };
        let outside = if external { here } else { &all };
        let texts = |ips: &[&str]| Some(ips.iter().map(|ip| (*ip).to_owned()).collect());
        assert_eq!(
            answers(&bench, "10.96.0.10", 80),
            [texts(inside), None],
            "a ClusterIP is the cluster's own"
        );
        for (ip, port) in [("203.0.113.7", 80), ("192.0.2.1", NODE_PORT)] {
            let found = answers(&bench, ip, port);
            assert_eq!(
                found,
                [texts(inside), texts(outside)],
                "{ip} {external} {internal}"
            );
        }
        // What is told of is told once.
        assert_eq!(bench.view("web").backends.len(), 3);
        // The other way round, and back.
        bench.define("web", open(!external, !internal));
        bench.define("web", open(external, internal));
        assert_eq!(
            answers(&bench, "192.0.2.1", NODE_PORT),
            [texts(inside), texts(outside)]
        );
        bench.tell(Fact::Service(Event::Delete(name("web"))));
        assert!(bench.kernel.tables.frontends.is_empty());
        assert!(bench.kernel.tables.backends.is_empty());
    }
}
