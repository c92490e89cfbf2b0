//! What balancers are told at the ports for health checks.

use super::*;
use crate::{config::tests::config, service::Check};

fn checked(ip: &str, port: u16) -> Definition {
    Definition {
        outside_node_only: true,
        check_port: Some(port),
        ..definition(ip, global(Affinity::None))
    }
}

/// Endpoints by address, state and node.
fn on_nodes(service: &str, endpoints: &[(&str, State, &str)]) -> Offer {
    let states: Vec<(&str, State)> = endpoints
        .iter()
        .map(|(ip, state, _)| (*ip, *state))
        .collect();
    let mut made = offer("c1", service, &states);
    for (ip, _, node) in endpoints {
        let ip = ip.parse().expect("an address");
        made.endpoints.get_mut(&ip).expect("it is there").node = Some((*node).into());
    }
    made
}

/// What is said at each port; nothing if nothing has changed.
fn said(bench: &mut Bench) -> Option<Vec<(u16, String, usize)>> {
    let checks = bench.world.take_checks()?;
    let all = checks.into_iter();
    let all = all.map(|(port, Check { service, endpoints })| (port, service.name, endpoints));
    Some(all.collect())
}

fn at(port: u16, name: &str, endpoints: usize) -> (u16, String, usize) {
    (port, name.to_owned(), endpoints)
}

#[test]
fn ready_backends_of_this_node_count() {
    use State::{Active, Ending, NotReady, Terminating};
    let here = config().node;
    let here = here.as_str();
    type Endpoints<'a> = &'a [(&'a str, State, &'a str)];
    let table: [(&str, Endpoints<'_>, usize); 7] = [
        ("none", &[], 0),
        ("elsewhere", &[("10.1.0.1", Active, "other")], 0),
        (
            "two and one elsewhere",
            &[
                ("10.1.0.1", Active, here),
                ("10.1.0.2", Active, here),
                ("10.1.0.3", Active, "other"),
            ],
            2,
        ),
        ("draining", &[("10.1.0.1", Terminating, here)], 0),
        ("ending", &[("10.1.0.1", Ending, here)], 0),
        ("not ready", &[("10.1.0.1", NotReady, here)], 0),
        (
            "a pod of two families",
            &[("10.1.0.1", Active, here), ("fd00::1", Active, here)],
            1,
        ),
    ];
    for (what, endpoints, count) in table {
        let mut bench = Bench::ready();
        bench.define("web", checked("10.96.0.10", 31_000));
        bench.offer(OWN, "web-1", on_nodes("web", endpoints));
        // Another cluster's node of the same name is none of ours.
        bench.offer(
            SECOND,
            "web-x",
            on_nodes("web", &[("10.2.0.1", Active, here)]),
        );
        assert_eq!(
            said(&mut bench),
            Some(vec![at(31_000, "web", count)]),
            "{what}"
        );
        let view = bench.view("web").health_check.expect("it has a port");
        assert_eq!((view.port, view.endpoints), (31_000, count), "{what}");
        assert_eq!(said(&mut bench), None, "{what}");
    }
}

#[test]
fn counts_follow_endpoints_and_slices() {
    let here = config().node;
    let mut bench = Bench::ready();
    let one = |ip| on_nodes("web", &[(ip, State::Active, here.as_str())]);
    // Endpoints may come first.
    bench.offer(OWN, "web-1", one("10.1.0.1"));
    bench.define("web", checked("10.96.0.10", 31_000));
    assert_eq!(said(&mut bench), Some(vec![at(31_000, "web", 1)]));
    // For a moment two slices have it.
    bench.offer(OWN, "web-2", one("10.1.0.1"));
    bench.tell(Fact::Slice(OWN, Event::Delete(name("web-1"))));
    assert_eq!(said(&mut bench), Some(vec![at(31_000, "web", 1)]));
    bench.offer(OWN, "web-2", one("10.1.0.2"));
    bench.offer(OWN, "web-3", one("10.1.0.3"));
    assert_eq!(said(&mut bench), Some(vec![at(31_000, "web", 2)]));
    // Without weight a slice's endpoints take nothing new.
    let mut idle = one("10.1.0.3");
    idle.weight = 0;
    bench.offer(OWN, "web-3", idle);
    assert_eq!(said(&mut bench), Some(vec![at(31_000, "web", 1)]));
    let keeps_out = [(
        "service.tombolo.io/cluster-weights".to_owned(),
        "local=0".to_owned(),
    )];
    let mut definition = checked("10.96.0.10", 31_000);
    (definition.grades, _) = Grades::read(&keeps_out.into(), &definition.sharing);
    bench.define("web", definition);
    assert_eq!(said(&mut bench), Some(vec![at(31_000, "web", 0)]));
    bench.define("web", checked("10.96.0.10", 31_001));
    assert_eq!(said(&mut bench), Some(vec![at(31_001, "web", 1)]));
    bench.tell(Fact::Slice(OWN, Event::Restart));
    bench.tell(Fact::Slice(OWN, Event::Synced));
    assert_eq!(said(&mut bench), Some(vec![at(31_001, "web", 0)]));
    bench.tell(Fact::Service(Event::Delete(name("web"))));
    assert_eq!(said(&mut bench), Some(vec![]));
}

#[test]
fn nothing_is_said_before_all_services_are_known() {
    let mut bench = Bench::new();
    bench.define("web", checked("10.96.0.10", 31_000));
    bench.tell(Fact::Service(Event::Synced));
    assert_eq!(said(&mut bench), None);
    bench.tell(Fact::Slice(OWN, Event::Synced));
    assert_eq!(said(&mut bench), Some(vec![at(31_000, "web", 0)]));
}

#[test]
fn ports_that_nobody_can_ask_at_are_conditions() {
    let mut bench = Bench::ready();
    bench.define("api", checked("10.96.0.9", 31_000));
    bench.define("web", checked("10.96.0.10", 31_000));
    let mut shadow = definition("10.96.0.11", global(Affinity::None));
    shadow.ports[0].node_port = Some(31_000);
    bench.define("shadow", shadow);
    assert_eq!(said(&mut bench), Some(vec![at(31_000, "api", 0)]));
    let refused = [(31_000, "cannot listen at port 31000: in use".to_owned())];
    bench.tell(Fact::ChecksRefused(refused.into()));
    assert_eq!(
        bench.view("api").conditions,
        [
            "healthCheckNodePort 31000 is a NodePort of shop/shadow too: balancers that ask there are led to its backends; \
             give one of them another port",
            "healthCheckNodePort 31000: nobody can ask there: cannot listen at port 31000: in use; see what listens there \
             by `ss -ltnp sport = :31000` and end it, or give the service another one: it is tried again",
        ]
    );
    assert_eq!(
        bench.view("web").conditions,
        [
            "healthCheckNodePort 31000 is shop/api's already: balancers that ask there are not told of this service; \
             give it another one"
        ]
    );
    bench.tell(Fact::ChecksRefused(BTreeMap::new()));
    assert_eq!(bench.view("api").conditions.len(), 1);
    bench.tell(Fact::Service(Event::Delete(name("api"))));
    assert_eq!(said(&mut bench), Some(vec![at(31_000, "web", 0)]));
}
