//! What peers' records of services tell the world.

use super::super::*;
use crate::{
    event::Event,
    fact::{Fact, Source},
    id::ClusterId,
    service::{Protocol, State},
};

const SOURCE: Source = Source::Cluster(ClusterId(2));

fn name(name: &str) -> Namespaced {
    Namespaced {
        namespace: "shop".into(),
        name: name.into(),
    }
}

fn told(text: &str) -> Option<Fact> {
    let service = Service::decode(text.as_bytes()).unwrap();
    let event = Event::Upsert(
        Name::Service(name("web")),
        Box::new(Record::Service(Box::new(service))),
    );
    offered(SOURCE, Resource::Services, event)
}

#[test]
fn a_service_offers_what_answers() {
    let fact = told(
        r#"{"cluster":"c2","namespace":"shop","name":"web","shared":true,"backends":{
            "10.2.0.1":{"http":{"Protocol":"TCP","Port":8080},"odd":{"Protocol":"SCTP","Port":9}},
            "10.2.0.2":{"http":{"Protocol":"TCP","Port":8080},"none":{"Protocol":"UDP","Port":0}}}}"#,
    );
    let Some(Fact::Shared(SOURCE, Event::Upsert(told, offer))) = fact else {
        panic!("{fact:?}");
    };
    assert_eq!((told, offer.service.clone()), (name("web"), name("web")));
    let ports = offer.endpoints.values().flat_map(|it| it.ports.iter());
    let ports: Vec<_> = ports
        .map(|it| (it.name.as_str(), it.protocol, it.port))
        .collect();
    assert_eq!(ports, [("http", Protocol::Tcp, 8080); 2]);
    assert!(offer.endpoints.values().all(|it| it.state == State::Active));
}

#[test]
fn what_is_not_shared_is_not_there() {
    let fact = told(r#"{"cluster":"c2","namespace":"shop","name":"web","shared":false}"#);
    assert_eq!(fact, Some(Fact::Shared(SOURCE, Event::Delete(name("web")))));
}

#[test]
fn slices_tell_of_those_that_end() {
    let endpoint = |ip: &str, ready, serving, terminating| Endpoint {
        addresses: vec![ip.parse().unwrap()],
        conditions: Conditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        },
        ..Endpoint::default()
    };
    let mut slice = EndpointSlice {
        cluster: "c2".into(),
        cluster_id: 2,
        namespace: "shop".into(),
        name: "web-1".into(),
        labels: [("kubernetes.io/service-name".to_owned(), "web".to_owned())].into(),
        annotations: [("service.cilium.io/weight".to_owned(), "7".to_owned())].into(),
        family: Family::V4,
        endpoints: vec![
            endpoint("10.2.0.1", true, true, false),
            endpoint("10.2.0.2", false, true, true),
        ],
        ports: vec![EndpointPort {
            port: Some(8080),
            ..EndpointPort::default()
        }],
    };
    let tell = |slice: &EndpointSlice| {
        let record = Box::new(Record::EndpointSlice(Box::new(slice.clone())));
        let event = Event::Upsert(Name::EndpointSlice(name("web-1")), record);
        offered(SOURCE, Resource::EndpointSlices, event)
    };
    let fact = tell(&slice);
    let Some(Fact::Slice(SOURCE, Event::Upsert(told, offer))) = fact else {
        panic!("{fact:?}");
    };
    assert_eq!(
        (told, offer.service, offer.weight),
        (name("web-1"), name("web"), 7)
    );
    let states: Vec<State> = offer.endpoints.values().map(|it| it.state).collect();
    assert_eq!(states, [State::Active, State::Terminating]);
    // It is no service's any more.
    slice.labels.clear();
    assert_eq!(
        tell(&slice),
        Some(Fact::Slice(SOURCE, Event::Delete(name("web-1"))))
    );
}

#[test]
fn other_records_offer_nothing() {
    assert_eq!(offered(SOURCE, Resource::Nodes, Event::Restart), None);
    let deleted = Event::Delete(Name::Node("n1".into()));
    assert_eq!(offered(SOURCE, Resource::Services, deleted), None);
}
