//! When something is told, and how much.

use super::*;

/// The kinds that each resource waits for.
const SOURCES: [(Resource, &[Kind]); 6] = [
    (Resource::Nodes, &[Kind::CiliumNode]),
    (
        Resource::Identities,
        &[Kind::CiliumIdentity, Kind::Namespace],
    ),
    (
        Resource::Addresses,
        &[Kind::CiliumEndpoint, Kind::Namespace],
    ),
    (
        Resource::Services,
        &[Kind::Service, Kind::EndpointSlice, Kind::Namespace],
    ),
    (
        Resource::EndpointSlices,
        &[Kind::Service, Kind::EndpointSlice, Kind::Namespace],
    ),
    (
        Resource::ServiceExports,
        &[Kind::ServiceExport, Kind::Service, Kind::Namespace],
    ),
];

fn everything() -> Vec<Value> {
    vec![
        endpoint("shop", "a", &["10.0.0.1"]),
        slice("shop", "web-1", "web", json!([{"addresses": ["10.0.0.1"]}])),
        service("shop", "web", json!(null), json!({})),
        service_export("shop", "web"),
        identity(70001, "shop"),
        node("a"),
        namespace("shop", None),
    ]
}

#[test]
fn nothing_is_told_before_all_that_it_is_made_of() {
    for last in Kind::ALL {
        let mut translator = Translator::new(options());
        for (key, object) in everything().into_iter().map(read) {
            translator.handle(key.kind, Event::Upsert(key, object));
        }
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != last) {
            translator.handle(kind, Event::Synced);
        }
        let events = drain(&mut translator);
        for (resource, sources) in SOURCES {
            let of: Vec<_> = events.iter().filter(|(of, _)| *of == resource).collect();
            let waits = sources.contains(&last);
            assert_eq!(of.is_empty(), waits, "{resource} without {last}: {of:?}");
            assert_eq!(translator.is_ready(resource), !waits);
        }
        translator.handle(last, Event::Synced);
        let events = events.into_iter().chain(drain(&mut translator));
        let mut of: BTreeMap<Resource, Vec<&str>> = BTreeMap::new();
        for (resource, event) in events {
            of.entry(resource).or_default().push(match event {
                Event::Restart => "restart",
                Event::Upsert(..) => "upsert",
                Event::Delete(_) => "delete",
                Event::Synced => "synced",
            });
        }
        assert_eq!(of.len(), 6);
        for (resource, words) in of {
            assert_eq!(
                words,
                ["restart", "upsert", "synced"],
                "{resource} with {last} as the last"
            );
        }
    }
}

#[test]
fn what_is_switched_off_is_empty_or_absent() {
    let off = Options {
        service_exports: false,
        export: ExportMode::Services,
        ..options()
    };
    let mut translator = Translator::new(off);
    assert!(
        !translator
            .resources()
            .any(|resource| resource == Resource::EndpointSlices)
    );
    let exports = [Event::Restart, Event::Synced].map(|event| (Resource::ServiceExports, event));
    assert_eq!(drain(&mut translator), exports, "it waits for nothing");
    for (key, object) in everything().into_iter().map(read) {
        translator.handle(key.kind, Event::Upsert(key, object));
    }
    for kind in Kind::ALL {
        translator.handle(kind, Event::Synced);
    }
    drain(&mut translator);
    let counts = Resource::ALL.map(|resource| translator.records(resource));
    assert_eq!(counts, [1, 1, 1, 1, 0, 0]);
    let slices = Options {
        export: ExportMode::EndpointSlices,
        ..options()
    };
    assert!(
        !Translator::new(slices)
            .resources()
            .any(|resource| resource == Resource::Services)
    );
}

#[test]
fn a_source_that_begins_anew_is_swept_and_not_repeated() {
    let mut told = Told::shop();
    for object in everything() {
        told.put(object);
    }
    told.put(endpoint("shop", "b", &["10.0.0.2"]));
    told.put(node("b"));
    told.put(identity(70002, "shop"));
    told.changes();
    for kind in Kind::ALL {
        told.translator.handle(kind, Event::Restart);
    }
    for object in everything() {
        told.put(object);
    }
    assert_eq!(
        told.changes(),
        [""; 0],
        "nothing is gone before all is told"
    );
    for kind in Kind::ALL {
        told.translator.handle(kind, Event::Synced);
    }
    assert_eq!(
        told.changes(),
        ["-nodes/b", "-identities/70002", "-ip/10.0.0.2"]
    );
    for kind in Kind::ALL {
        told.translator.handle(kind, Event::Restart);
        told.translator.handle(kind, Event::Synced);
    }
    let gone = [
        "-nodes/a",
        "-identities/70001",
        "-ip/10.0.0.1",
        "-services/shop/web",
        "-endpointslices/shop/web-1",
        "-serviceexports/shop/web",
    ];
    assert_eq!(told.changes(), gone);
    assert_eq!(Kind::ALL.map(|kind| told.translator.objects(kind)), [0; 7]);
    assert!(
        told.translator.objects.spaces.is_empty(),
        "nothing is left of a namespace"
    );
}

#[test]
fn what_could_not_be_taken_stays_as_it_was() {
    let mut told = Told::shop();
    for object in everything() {
        told.put(object);
    }
    told.changes();
    let keys: Vec<_> = everything()
        .into_iter()
        .map(|object| read(object).0)
        .collect();
    for kind in Kind::ALL {
        told.translator.handle(kind, Event::Restart);
    }
    for key in &keys {
        told.translator.keep(key);
    }
    for kind in Kind::ALL {
        told.translator.handle(kind, Event::Synced);
    }
    assert_eq!(told.changes(), [""; 0]);
    let unknown = ObjectKey {
        name: "unknown".to_owned(),
        ..keys[0].clone()
    };
    told.translator.keep(&unknown);
    assert_eq!(told.changes(), [""; 0]);
}

#[test]
fn a_change_makes_the_records_that_it_changes() {
    let mut told = Told::shop();
    for number in 0..200 {
        let (name, ip) = (format!("pod-{number}"), format!("10.0.1.{number}"));
        told.put(endpoint("shop", &name, &[&ip]));
        let service_name = format!("web-{}", number % 10);
        told.put(service("shop", &service_name, json!(null), json!({})));
        let endpoints = json!([{"addresses": [ip]}]);
        told.put(slice(
            "shop",
            &format!("slice-{number}"),
            &service_name,
            endpoints,
        ));
    }
    assert_eq!(
        told.changes().len(),
        200 + 10 + 200,
        "a service is made once, be it of many slices"
    );
    let mut moved = endpoint("shop", "pod-7", &["10.0.1.7"]);
    moved["status"]["networking"]["node"] = json!("192.0.2.2");
    told.put(moved.clone());
    assert_eq!(told.changes(), ["+ip/10.0.1.7"]);
    moved["status"]["state"] = json!("regenerating");
    told.put(moved);
    assert_eq!(
        told.changes(),
        [""; 0],
        "nothing that peers know has changed"
    );
    told.put(endpoint("shop", "pod-7", &["10.0.1.207"]));
    assert_eq!(told.changes(), ["-ip/10.0.1.7", "+ip/10.0.1.207"]);
    told.put(slice("shop", "slice-7", "web-7", json!([])));
    assert_eq!(
        told.changes(),
        ["+services/shop/web-7", "+endpointslices/shop/slice-7"]
    );
    let mut labelled = service("shop", "web-7", json!(null), json!({}));
    labelled["metadata"]["labels"] = json!({"team": "shop"});
    told.put(labelled);
    assert_eq!(told.changes(), ["+services/shop/web-7"]);
    for ip in ["10.0.2.1", "10.0.2.2"] {
        told.put(endpoint("shop", "pod-9", &[ip]));
    }
    assert_eq!(
        told.changes(),
        ["-ip/10.0.1.9", "+ip/10.0.2.2"],
        "what came and went meanwhile is not told"
    );
}
