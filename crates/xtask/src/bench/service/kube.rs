//! Services as kube-proxy writes them for a node, in its modes nftables and iptables.
//!
//! One port and one backend a service, no traffic policies: of each packet's way through the rules, no more than every
//! cluster has.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{FIRST, PORT};

/// Where the pods of the client's node are.
const PODS: &str = "10.29.0.0/16";

#[derive(Clone, Copy)]
pub enum Rules {
    Nftables,
    Iptables,
}

pub fn check() -> Result<()> {
    for (program, package) in [("nft", "nftables"), ("iptables-restore", "iptables")] {
        if Command::new(program).arg("--version").output().is_err() {
            bail!(
                "{program} is not on PATH; it writes the rules that we are compared with: install the package {package}"
            );
        }
    }
    Ok(())
}

/// Puts rules for so many services into the node, in place of those that are there. The first leads to `server`.
pub fn load(rules: Rules, node: &str, count: usize, server: SocketAddrV4) -> Result<()> {
    let (words, text): (&[&str], String) = match rules {
        Rules::Nftables => (&["nft", "-f", "-"], nftables(count, server)),
        Rules::Iptables => (&["iptables-restore", "-w"], iptables(count, server)),
    };
    let mut child = Command::new("ip")
        .args(["netns", "exec", node])
        .args(words)
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", words[0]))?;
    let mut input = child.stdin.take().context("no pipe")?;
    let written = input.write_all(text.as_bytes());
    drop(input);
    let status = child.wait()?;
    if !status.success() {
        bail!(
            "{} refuses the rules of {count} services: {status}",
            words[0]
        );
    }
    written.with_context(|| format!("writing rules to {}", words[0]))
}

/// A service and its backend.
fn service(number: usize, server: SocketAddrV4) -> (Ipv4Addr, SocketAddrV4) {
    let add = |base: Ipv4Addr| Ipv4Addr::from(u32::from(base) + number as u32);
    let backend = match number {
        0 => server,
        _ => SocketAddrV4::new(add(Ipv4Addr::new(100, 64, 0, 0)), 8080),
    };
    (add(FIRST), backend)
}

fn nftables(count: usize, server: SocketAddrV4) -> String {
    let mut text = String::from(
        "table ip kube-proxy\ndelete table ip kube-proxy\ntable ip kube-proxy {\n\
         set cluster-ips { type ipv4_addr; }\n\
         set nodeport-ips { type ipv4_addr; }\n\
         map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }\n\
         map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }\n\
         map firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict; }\n\
         map service-nodeports { type inet_proto . inet_service : verdict; }\n\
         map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }\n\
         chain cluster-ips-check { ip daddr @cluster-ips reject; }\n\
         chain firewall-check { ip daddr . meta l4proto . th dport vmap @firewall-ips; }\n\
         chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }\n\
         chain nodeport-endpoints-check { ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports; }\n\
         chain mark-for-masquerade { mark set mark or 0x4000; }\n\
         chain masquerading { mark and 0x4000 == 0 return; mark set mark xor 0x4000; masquerade fully-random; }\n\
         chain services {\n\
         ip daddr . meta l4proto . th dport vmap @service-ips;\n\
         ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports;\n}\n\
         chain filter-prerouting { type filter hook prerouting priority -110; ct state new jump firewall-check; }\n\
         chain filter-input { type filter hook input priority -110; ct state new jump nodeport-endpoints-check; ct state new jump service-endpoints-check; }\n\
         chain filter-forward { type filter hook forward priority -110; ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }\n\
         chain filter-output { type filter hook output priority -110; ct state new jump service-endpoints-check; ct state new jump firewall-check; }\n\
         chain filter-output-post-dnat { type filter hook output priority -90; ct state new jump cluster-ips-check; }\n\
         chain nat-prerouting { type nat hook prerouting priority -100; jump services; }\n\
         chain nat-output { type nat hook output priority -100; jump services; }\n\
         chain nat-postrouting { type nat hook postrouting priority 100; jump masquerading; }\n",
    );
    let (mut frontends, mut elements) = (String::new(), String::new());
    for number in 0..count {
        let (frontend, backend) = service(number, server);
        let _ = write!(
            text,
            "chain endpoint-{number} {{ ip saddr {} jump mark-for-masquerade; meta l4proto tcp dnat to {backend}; }}\n\
             chain service-{number} {{ ip daddr {frontend} tcp dport {PORT} ip saddr != {PODS} jump mark-for-masquerade; \
             numgen random mod 1 vmap {{ 0 : goto endpoint-{number} }}; }}\n",
            backend.ip()
        );
        let comma = if number == 0 { "" } else { ", " };
        let _ = write!(frontends, "{comma}{frontend}");
        let _ = write!(
            elements,
            "{comma}{frontend} . tcp . {PORT} : goto service-{number}"
        );
    }
    let _ = write!(
        text,
        "}}\nadd element ip kube-proxy cluster-ips {{ {frontends} }}\nadd element ip kube-proxy service-ips {{ {elements} }}\n"
    );
    text
}

fn iptables(count: usize, server: SocketAddrV4) -> String {
    let mut text = String::from(
        "*nat\n:KUBE-SERVICES -\n:KUBE-NODEPORTS -\n:KUBE-POSTROUTING -\n:KUBE-MARK-MASQ -\n",
    );
    for number in 0..count {
        let _ = write!(text, ":KUBE-SVC-{number:016} -\n:KUBE-SEP-{number:016} -\n");
    }
    text += "-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
             -A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
             -A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING\n\
             -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n\
             -A KUBE-POSTROUTING -j MARK --xor-mark 0x4000\n\
             -A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully\n\
             -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000\n";
    // The one that is asked for stands in the middle: kube-proxy's order is nobody's choice.
    let others = 1..count;
    let middle = count.div_ceil(2);
    let order = others
        .clone()
        .take(middle - 1)
        .chain([0])
        .chain(others.skip(middle - 1));
    for number in order {
        let (frontend, backend) = service(number, server);
        let (set, sep) = (
            format!("KUBE-SVC-{number:016}"),
            format!("KUBE-SEP-{number:016}"),
        );
        let comment = format!("-m comment --comment \"shop/web-{number}:http");
        let _ = write!(
            text,
            "-A KUBE-SERVICES -d {frontend}/32 -p tcp {comment} cluster IP\" -m tcp --dport {PORT} -j {set}\n\
             -A {set} ! -s {PODS} -d {frontend}/32 -p tcp {comment} cluster IP\" -m tcp --dport {PORT} -j KUBE-MARK-MASQ\n\
             -A {set} {comment} -> {backend}\" -j {sep}\n\
             -A {sep} -s {}/32 {comment}\" -j KUBE-MARK-MASQ\n\
             -A {sep} -p tcp {comment}\" -m tcp -j DNAT --to-destination {backend}\n",
            backend.ip()
        );
    }
    text += "-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\n\
             COMMIT\n*filter\n:KUBE-FORWARD -\n:KUBE-SERVICES -\n:KUBE-PROXY-FIREWALL -\n\
             -A FORWARD -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL\n\
             -A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD\n\
             -A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES\n\
             -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n\
             -A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT\n\
             -A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n";
    text
}
