//! What is not as it should be: told of, and the rest goes on.

use super::*;

#[test]
fn an_address_that_two_services_claim_is_the_firsts() {
    let mut bench = Bench::ready();
    for (service, ip) in [("one", "10.1.0.1"), ("two", "10.1.0.2")] {
        bench.define(service, definition("10.96.0.10", Sharing::default()));
        bench.offer(OWN, service, offer("c1", service, &[(ip, State::Active)]));
    }
    let backends = |bench: &Bench| -> Vec<String> {
        let rows = bench.kernel.tables.backends.keys();
        rows.map(|(_, backend)| backend.to_string()).collect()
    };
    assert_eq!(backends(&bench), ["10.1.0.1:8080"]);
    assert_eq!(bench.view("one").conditions, Vec::<String>::new());
    assert_eq!(
        bench.view("two").conditions,
        ["ClusterIP 10.96.0.10:80/TCP is shop/one's already: it leads there, not here"]
    );
    // A service's own address is not to be had by calling it external.
    let thief = Definition {
        external_ips: vec!["10.96.0.10".parse().expect("an address")],
        ..definition("10.96.0.99", Sharing::default())
    };
    bench.define("a-thief", thief);
    assert_eq!(backends(&bench), ["10.1.0.1:8080"]);
    assert_eq!(bench.kernel.tables.frontends[&web()].pool, web());
    bench.tell(Fact::Service(Event::Delete(name("one"))));
    assert_eq!(backends(&bench), ["10.1.0.2:8080"]);
    assert_eq!(bench.view("two").conditions, Vec::<String>::new());
    assert_eq!(bench.kernel.tables, bench.world.desired());
}

#[test]
fn ports_that_disagree_are_told_of() {
    let mut bench = Bench::ready();
    let mut service = definition("10.96.0.10", global(Affinity::None));
    service.ports.push(ServicePort {
        name: "admin".into(),
        ..http(8000)
    });
    bench.define("web", service);
    bench.share(SECOND, offer("c2", "web", &[("10.2.0.1", State::Active)]));
    let mut renamed = offer("c3", "web", &[("10.3.0.1", State::Active)]);
    for offered in renamed.endpoints.values_mut() {
        offered.ports = [OfferedPort {
            name: "web".into(),
            protocol: Protocol::Tcp,
            port: 8080,
        }]
        .into();
    }
    bench.share(THIRD, renamed);
    assert_eq!(
        bench.view("web").conditions,
        [
            "port admin/TCP is not offered by c2, whose backends get nothing of it: clusters must agree on the names of ports",
            "port admin/TCP is not offered by c3, whose backends get nothing of it: clusters must agree on the names of ports",
            "port http/TCP is not offered by c3, whose backends get nothing of it: clusters must agree on the names of ports",
            "port web/TCP of c3 is not a port of the service here: clusters must agree on the names of ports",
        ]
    );
    assert_eq!(bench.kernel.tables.backends.len(), 1);
}

#[test]
fn global_elsewhere_and_not_here_is_told_of() {
    let mut bench = Bench::ready();
    bench.define("web", definition("10.96.0.10", Sharing::default()));
    bench.share(SECOND, offer("c2", "web", &[("10.2.0.1", State::Active)]));
    assert_eq!(
        bench.view("web").conditions,
        [
            "shop/web is global in c2 but not here: annotate it service.cilium.io/global: \"true\" to use their backends"
        ]
    );
    assert_eq!(
        bench.weights("web")[0].2,
        "the service is not global in this cluster"
    );
}

#[test]
fn summaries_count_what_is_used() {
    let mut bench = Bench::ready();
    let mut service = definition("10.96.0.10", global(Affinity::None));
    // Of two families and two ports, each backend is one.
    service
        .cluster_ips
        .push("fd00:96::10".parse().expect("an address"));
    service.ports.push(ServicePort {
        name: "admin".into(),
        ..http(81)
    });
    bench.define("web", service);
    bench.offer(
        OWN,
        "web-6",
        offer("c1", "web", &[("fd00:1::1", State::Active)]),
    );
    bench.offer(
        OWN,
        "web-1",
        offer(
            "c1",
            "web",
            &[("10.1.0.1", State::Active), ("10.1.0.2", State::NotReady)],
        ),
    );
    bench.share(SECOND, offer("c2", "web", &[("10.2.0.1", State::Active)]));
    let [summary] = bench.world.services().try_into().expect("one service");
    assert_eq!(
        (summary.backends, summary.used, summary.used_remote),
        (3, 2, 1)
    );
    assert_eq!(summary.ports, ["80/TCP", "81/TCP"]);
}
