//! How long an event of an endpoint takes, and what an endpoint weighs. To be run by itself:
//! `cargo test --release -p tombolo-k8s speed -- --ignored --nocapture`.

use std::hint::black_box;

use super::*;

const ENDPOINTS: usize = 250_000;
const NAMESPACES: usize = 100;
const BATCH: usize = 1000;
const HOSTS: usize = 5000;

#[test]
#[ignore = "a measurement"]
fn an_endpoint_of_many() {
    let mut told = Told::new(options());
    for number in 0..NAMESPACES {
        told.put(namespace(&format!("team-{number}"), None));
    }
    told.changes();
    let translator = &mut told.translator;
    let before = resident_bytes();
    pass("new", translator, |number| line(number, 70_000));
    assert_eq!(translator.records(Resource::Addresses), ENDPOINTS);
    let bytes = resident_bytes() - before;
    println!("memory: {} bytes an endpoint", bytes / ENDPOINTS);
    let shuffled = |number| line(number * 7919 % ENDPOINTS, 70_001);
    pass("changed", translator, shuffled);
    pass("unchanged", translator, shuffled);

    let start = cpu_ns();
    let (key, object) = read(namespace("team-7", Some("false")));
    translator.handle(key.kind, Event::Upsert(key, object));
    let gone = drain(translator).len();
    let each = (cpu_ns() - start) / gone;
    println!("namespace taken back: {each} ns for each of {gone} endpoints");
    assert_eq!(gone, ENDPOINTS / NAMESPACES);
}

fn pass(what: &str, translator: &mut Translator, line: impl Fn(usize) -> String) {
    let (mut parse, mut translate, mut len) = (0, 0, 0);
    for batch in 0..ENDPOINTS / BATCH {
        let lines: Vec<_> = (batch * BATCH..(batch + 1) * BATCH).map(&line).collect();
        let start = cpu_ns();
        let events: Vec<_> = lines
            .iter()
            .map(|line| parse_line(1, line.as_bytes()))
            .collect();
        let parsed = cpu_ns();
        for event in events {
            let Ok(WatchEvent::Change(kind, event)) = event else {
                panic!("{event:?}");
            };
            translator.handle(kind, event);
            while let Some(event) = translator.poll() {
                black_box(event);
            }
        }
        translate += cpu_ns() - parsed;
        parse += parsed - start;
        len += lines.iter().map(String::len).sum::<usize>();
    }
    let [parse, translate, len] = [parse, translate, len].map(|sum| sum / ENDPOINTS);
    println!("{what}: parse {parse} ns (of {len} bytes), handle and poll {translate} ns");
}

/// On a processor, so that others who are busy don't count.
fn cpu_ns() -> usize {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let spent = text.split(' ').next().and_then(|spent| spent.parse().ok());
    spent.expect("a number")
}

/// As Cilium's agents write them.
fn line(number: usize, identity: u32) -> String {
    let (namespace, host) = (number % NAMESPACES, number % HOSTS);
    let [_, a, b, c] = (number as u32).to_be_bytes();
    format!(
        r#"{{"type":"MODIFIED","object":{{"apiVersion":"cilium.io/v2","kind":"CiliumEndpoint","metadata":{{"creationTimestamp":"2026-11-21T06:54:22Z","generation":1,"labels":{{"app":"frontend","pod-template-hash":"6c8b7f9d4"}},"name":"frontend-6c8b7f9d4-{number:05}","namespace":"team-{namespace}","ownerReferences":[{{"apiVersion":"v1","kind":"Pod","name":"frontend-6c8b7f9d4-{number:05}","uid":"0f2b6d1c-6d3f-4a0e-9f43-2d9c3c0f{number:04x}"}}],"resourceVersion":"{number}","uid":"5d3c2b1a-6d3f-4a0e-9f43-2d9c3c0f{number:04x}"}},"status":{{"encryption":{{}},"external-identifiers":{{"cni-attachment-id":"8a7b6c5d4e3f:eth0","container-id":"8a7b6c5d4e3f","k8s-namespace":"team-{namespace}","k8s-pod-name":"frontend-6c8b7f9d4-{number:05}","pod-name":"team-{namespace}/frontend-6c8b7f9d4-{number:05}"}},"id":1234,"identity":{{"id":{identity},"labels":["k8s:app=frontend","k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=team-{namespace}","k8s:io.cilium.k8s.policy.cluster=cluster1","k8s:io.cilium.k8s.policy.serviceaccount=frontend","k8s:io.kubernetes.pod.namespace=team-{namespace}"]}},"named-ports":[{{"name":"http","port":8080,"protocol":"TCP"}},{{"name":"metrics","port":9090,"protocol":"TCP"}}],"networking":{{"addressing":[{{"ipv4":"10.{a}.{b}.{c}"}}],"node":"192.0.{}.{}"}},"policy":{{"egress":{{"enforcing":false,"state":"<status disabled>"}},"ingress":{{"enforcing":true,"state":"<status disabled>"}}}},"service-account":"frontend","state":"ready","visibility-policy-status":"<status disabled>"}}}}}}"#,
        host / 250,
        host % 250
    )
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number") * 4096
}
