use serde_json::{Value, json};

use super::*;

fn refused(object: &Value) -> String {
    let head: Head = Tree(object).read().expect("a head");
    let kind = head.kind().expect("a kind that is known");
    let fault = match key(kind, head) {
        Ok(key) => super::object(&key, &Tree(object)).expect_err("it is malformed"),
        Err(fault) => fault,
    };
    // As text it is refused for the same.
    let line = json!({"type": "ADDED", "object": object}).to_string();
    let reject = crate::watch::parse_line(1, line.as_bytes()).expect_err("it is malformed");
    assert_eq!(reject.path, fault.path);
    format!("{}: {}", fault.path, fault.reason)
}

fn object(api_version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}});
    for (key, value) in rest.as_object().expect("an object") {
        if key == "metadata" {
            let metadata = object["metadata"].as_object_mut().expect("an object");
            metadata.extend(value.as_object().expect("an object").clone());
        } else {
            object[key] = value.clone();
        }
    }
    object
}

#[test]
fn malformed_objects_are_refused_with_path_and_reason() {
    let endpoint = |status| {
        object(
            "cilium.io/v2",
            "CiliumEndpoint",
            "a",
            json!({"status": status}),
        )
    };
    let node = |spec| object("cilium.io/v2", "CiliumNode", "a", json!({"spec": spec}));
    let service = |spec| object("v1", "Service", "a", json!({"spec": spec}));
    let slice = |rest| object("discovery.k8s.io/v1", "EndpointSlice", "a", rest);
    let identity = |name, labels| {
        object(
            "cilium.io/v2",
            "CiliumIdentity",
            name,
            json!({"security-labels": labels}),
        )
    };
    let export = |metadata| {
        object(
            "multicluster.x-k8s.io/v1alpha1",
            "ServiceExport",
            "a",
            json!({"metadata": metadata}),
        )
    };
    let namespace = |name| object("v1", "Namespace", name, json!({}));
    let cases = [
        (
            endpoint(
                json!({"networking": {"addressing": [{"ipv4": "10.0.0.1"}, {"ipv4": "10.0.0"}]}}),
            ),
            "status.networking.addressing[1].ipv4: `10.0.0` is not an address",
        ),
        (
            endpoint(json!({"networking": {"node": "here"}})),
            "status.networking.node: `here` is not an address",
        ),
        (
            endpoint(json!({"encryption": {"key": 256}})),
            "status.encryption.key: invalid value: integer `256`, expected u8",
        ),
        (
            endpoint(json!({"identity": {"id": -1}})),
            "status.identity.id: invalid value: integer `-1`, expected u32",
        ),
        (
            endpoint(json!({"named-ports": [{"port": 65536}]})),
            "status.named-ports[0].port: invalid value: integer `65536`, expected u16",
        ),
        (
            endpoint(json!("up")),
            "status: invalid type: string \"up\", expected struct Status",
        ),
        (
            node(json!({"addresses": [{"type": "InternalIP", "ip": "x"}]})),
            "spec.addresses[0].ip: `x` is not an address",
        ),
        (
            node(json!({"ipam": {"podCIDRs": ["10.0.0.0/33"]}})),
            "spec.ipam.podCIDRs[0]: invalid IP address syntax",
        ),
        (
            node(json!({"ipam": {"pools": {"allocated": [{"cidrs": [7]}]}}})),
            "spec.ipam.pools.allocated[0].cidrs[0]: invalid type: integer `7`, expected IPv4 or IPv6 network address",
        ),
        (
            node(json!({"health": {"ipv6": "fd01::g"}})),
            "spec.health.ipv6: `fd01::g` is not an address",
        ),
        (
            service(json!({"clusterIPs": ["10.0.0.1", "x"]})),
            "spec.clusterIPs: `x` is not an address",
        ),
        (
            service(json!({"ports": [{"port": "http"}]})),
            "spec.ports[0].port: invalid type: string \"http\", expected u16",
        ),
        (
            service(json!({"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": -5}}})),
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: invalid value: integer `-5`, expected u32",
        ),
        (
            slice(json!({})),
            "addressType: `` is none of IPv4, IPv6 and FQDN",
        ),
        (
            slice(
                json!({"addressType": "IPv4", "endpoints": [{"addresses": []}, {"addresses": ["10.0.0.1", "fd01::1"]}]}),
            ),
            "endpoints[1].addresses[1]: `fd01::1` is not IPv4",
        ),
        (
            slice(json!({"addressType": "IPv6", "endpoints": [{"addresses": ["x"]}]})),
            "endpoints[0].addresses[0]: `x` is not an address",
        ),
        (
            slice(json!({"addressType": "IPv4", "endpoints": [{"conditions": {"ready": "yes"}}]})),
            "endpoints[0].conditions.ready: invalid type: string \"yes\", expected a boolean",
        ),
        (
            identity("seven", json!({})),
            "metadata.name: `seven` is not a number",
        ),
        (
            identity("007", json!({})),
            "metadata.name: `007` is not a number",
        ),
        (
            identity("4294967296", json!({})),
            "metadata.name: `4294967296` is not a number",
        ),
        (
            identity("7", json!({"k8s:a": "b;k8s:c=d"})),
            "security-labels: `k8s:a=b;k8s:c=d` would read as other labels",
        ),
        (
            identity("7", json!({"k8s:a=b": "c"})),
            "security-labels: `k8s:a=b=c` would read as other labels",
        ),
        (
            identity("7", json!({"k8s:": "c"})),
            "security-labels: its label's key is missing",
        ),
        (
            export(json!({})),
            "metadata.creationTimestamp: it is missing, and peers refuse exports whose age they don't know",
        ),
        (
            export(json!({"creationTimestamp": "yesterday"})),
            "metadata.creationTimestamp: `yesterday` is not a moment like 2026-11-21T06:54:22Z",
        ),
        (namespace(""), "metadata.name: it is missing"),
        (namespace("a/b"), "metadata.name: it is not a name: `a/b`"),
        (namespace("-a"), "metadata.name: it is not a name: `-a`"),
        (namespace("a..b"), "metadata.name: it is not a name: `a..b`"),
        (
            namespace("a\u{1b}[2J"),
            "metadata.name: it is not a name: `a\u{fffd}[2J`",
        ),
        (
            object(
                "v1",
                "Service",
                "a",
                json!({"metadata": {"namespace": "a/b"}}),
            ),
            "metadata.namespace: it is not a name: `a/b`",
        ),
        (
            object(
                "v1",
                "Service",
                "a",
                json!({"metadata": {"annotations": {"service.cilium.io/global": true}}}),
            ),
            "metadata.annotations.service.cilium.io/global: invalid type: boolean `true`, expected a string",
        ),
    ];
    for (object, expected) in cases {
        assert_eq!(refused(&object), expected, "{object}");
    }
    let long = refused(&namespace(&"a".repeat(300)));
    assert!(
        long.chars().count() < 250 && long.starts_with("metadata.name: it is not a name: `aaa"),
        "{long}"
    );
}

#[test]
fn what_is_not_known_is_passed_over_and_null_is_nothing() {
    let objects = [
        ("v1", "Namespace"),
        ("cilium.io/v2", "CiliumNode"),
        ("cilium.io/v2", "CiliumIdentity"),
        ("cilium.io/v2", "CiliumEndpoint"),
        ("v1", "Service"),
    ];
    for (api_version, kind) in objects {
        let bare = object(api_version, kind, "7", json!({}));
        let nulls = object(
            api_version,
            kind,
            "7",
            json!({"status": null, "spec": null, "security-labels": null,
            "metadata": {"labels": null, "annotations": null, "managedFields": [{"a": 1}]}, "unknown": {"b": [null]}}),
        );
        let read = |object: &Value| {
            let head: Head = Tree(object).read().expect("a head");
            let key = key(head.kind().expect("a kind"), head).expect("a key");
            super::object(&key, &Tree(object)).expect("an object")
        };
        assert_eq!(read(&bare), read(&nulls), "{kind}");
    }
}

#[test]
fn kinds_are_known_by_their_versions() {
    let cases = [
        ("v1", "Service", Some(Kind::Service)),
        ("v2", "Service", None),
        ("serving.knative.dev/v1", "Service", None),
        ("discovery.k8s.io/v1beta1", "EndpointSlice", None),
        ("cilium.io/v2alpha1", "CiliumEndpointSlice", None),
        (
            "multicluster.x-k8s.io/v1beta1",
            "ServiceExport",
            Some(Kind::ServiceExport),
        ),
        ("net.gke.io/v1", "ServiceExport", None),
        ("", "", None),
    ];
    for (api_version, kind, expected) in cases {
        assert_eq!(
            Kind::of(api_version, kind),
            expected,
            "{api_version} {kind}"
        );
    }
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, index);
    }
}
