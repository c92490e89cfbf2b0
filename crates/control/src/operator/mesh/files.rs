//! The files that say how a store is reached, in Cilium's form.

use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr};

use crate::trust::split_endpoint;

/// The name that certificates of mesh API servers have below this, whatever their addresses.
const DOMAIN: &str = "mesh.cilium.io";

/// Under which names in the same folder the certificates are.
pub struct Names<'a> {
    pub ca: &'a str,
    pub certificate: &'a str,
    pub key: &'a str,
}

/// The file about the store of `cluster`. An address is given the name that the store's certificate has.
pub fn file(cluster: &str, endpoints: &[String], names: &Names<'_>) -> String {
    let name = format!("{cluster}.{DOMAIN}");
    let mut written = Vec::new();
    let mut addresses: BTreeMap<IpAddr, ()> = BTreeMap::new();
    for endpoint in endpoints {
        let Some((host, port)) = split_endpoint(endpoint) else {
            continue;
        };
        let endpoint = match host.parse::<IpAddr>() {
            Ok(address) => {
                addresses.insert(address, ());
                format!("https://{name}:{port}")
            }
            Err(_) => endpoint.clone(),
        };
        if !written.contains(&endpoint) {
            written.push(endpoint);
        }
    }
    let mut text = String::from("endpoints:\n");
    for endpoint in written {
        let _ = writeln!(text, "- {endpoint}");
    }
    let Names {
        ca,
        certificate,
        key,
    } = names;
    let _ = write!(
        text,
        "trusted-ca-file: {ca}\ncert-file: {certificate}\nkey-file: {key}\n"
    );
    if !addresses.is_empty() {
        let ips: Vec<_> = addresses.keys().map(|ip| format!("\"{ip}\"")).collect();
        let _ = write!(
            text,
            "cilium-host-aliases:\n- hostname: {name}\n  ips: [{}]\n",
            ips.join(", ")
        );
    }
    text
}

/// What a server's certificate must be for beside its usual names: whatever of the endpoints is no address.
pub fn server_names(endpoints: &[String]) -> Vec<String> {
    let hosts = endpoints
        .iter()
        .filter_map(|endpoint| split_endpoint(endpoint));
    let hosts = hosts.map(|(host, _)| host);
    hosts
        .filter(|host| host.parse::<IpAddr>().is_err())
        .collect()
}
