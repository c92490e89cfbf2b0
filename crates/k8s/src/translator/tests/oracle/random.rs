//! Random objects of a small world, in which they often meet.

use serde_json::{Value, json};

use super::super::{endpoint, identity, namespace, node, service, service_export, slice};
use crate::Kind;

/// xorshift64*, so that a failure can be repeated by its seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % limit
    }

    pub(super) fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    fn word(&mut self, words: &[&'static str]) -> &'static str {
        self.pick::<&str>(words)
    }

    fn some<'a, T>(&mut self, items: &'a [T]) -> Vec<&'a T> {
        items.iter().filter(|_| self.one_in(2)).collect()
    }
}

const NAMESPACES: [&str; 3] = ["bar", "private", "shop"];
const PODS: [&str; 4] = ["a", "b", "c", "d"];
const IPS: [&str; 5] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd01::1", "fd01::2"];
const SERVICES: [&str; 3] = ["db", "web", "x"];
const SLICES: [&str; 5] = ["s1", "s2", "s3", "s4", "s5"];

pub(super) fn object(random: &mut Random, kind: Kind) -> Value {
    let place = random.word(&NAMESPACES);
    match kind {
        Kind::Namespace => {
            let annotations = [None, None, Some("true"), Some("false"), Some("no")];
            namespace(place, *random.pick(&annotations))
        }
        Kind::CiliumNode => {
            let mut object = node(random.word(&PODS));
            object["spec"]["nodeidentity"] = json!(random.below(3));
            object
        }
        Kind::CiliumIdentity => random_identity(random, place),
        Kind::CiliumEndpoint => random_endpoint(random, place),
        Kind::Service => random_service(random, place),
        Kind::EndpointSlice => random_slice(random, place),
        Kind::ServiceExport => {
            let mut object = service_export(place, random.word(&SERVICES));
            object["spec"] = json!({"exportedLabels": {"a": random.below(3).to_string()}});
            object
        }
    }
}

fn random_identity(random: &mut Random, place: &str) -> Value {
    let number = 70000 + random.below(4) as u32;
    let mut object = identity(number, place);
    match random.below(6) {
        0 => object["security-labels"] = json!({}),
        1 => object["security-labels"] = json!({"k8s:app": "a"}),
        2 => object["security-labels"]["k8s:app"] = json!("b"),
        _ => {}
    }
    object
}

fn random_endpoint(random: &mut Random, place: &str) -> Value {
    let ips: Vec<&str> = random.some(&IPS).into_iter().copied().take(2).collect();
    let mut object = endpoint(place, random.word(&PODS), &ips);
    let status = &mut object["status"];
    status["identity"]["id"] = json!([0, 70001, 70002, 70003][random.below(4) as usize]);
    status["encryption"] = json!({"key": random.below(2) * 255});
    if random.one_in(6) {
        status["networking"]["node"] = json!(null);
    }
    if random.one_in(3) {
        status["named-ports"] = json!([{"name": "http", "port": 8080, "protocol": "TCP"}]);
        status["service-account"] = json!("default");
    }
    object
}

fn random_service(random: &mut Random, place: &str) -> Value {
    let annotations = [
        json!({}),
        json!({"service.cilium.io/global": "true"}),
        json!({"service.cilium.io/global": "true"}),
        json!({"io.cilium/global-service": "true", "io.cilium/shared-service": "false"}),
    ];
    let specs = [
        json!({"clusterIP": "10.91.0.1", "ports": [{"name": "http", "port": 80}]}),
        json!({"clusterIP": "None", "selector": {"app": "a"}}),
        json!({"clusterIP": "10.91.0.1", "clusterIPs": ["10.91.0.1", "fd91::1"]}),
        json!({"type": "ExternalName"}),
    ];
    let annotations = random.pick(&annotations).clone();
    let spec = random.pick(&specs).clone();
    let mut object = service(place, random.word(&SERVICES), annotations, spec);
    if random.one_in(4) {
        object["metadata"]["labels"] = json!({"service.kubernetes.io/headless": ""});
    }
    object
}

fn random_slice(random: &mut Random, place: &str) -> Value {
    let endpoint = |random: &mut Random, ip: &str| {
        let mut endpoint = json!({"addresses": [ip], "conditions": {"ready": random.one_in(2), "serving": random.one_in(2)}});
        if random.one_in(2) {
            endpoint["zone"] = json!("a");
            endpoint["hostname"] = json!(["h1", "h2"][random.below(2) as usize]);
        }
        endpoint
    };
    let ips: Vec<&str> = random.some(&IPS[..3]).into_iter().copied().collect();
    let endpoints: Vec<_> = ips.iter().map(|ip| endpoint(random, ip)).collect();
    let of = match random.below(8) {
        0 => "",
        _ => random.word(&SERVICES),
    };
    let mut object = slice(place, random.word(&SLICES), of, json!(endpoints));
    if random.one_in(3) {
        object["ports"] = json!([{"name": "metrics", "port": 9090, "protocol": "TCP"}]);
    }
    if random.one_in(8) {
        object["addressType"] = json!("FQDN");
    }
    object
}
