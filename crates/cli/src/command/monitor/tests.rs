use super::*;
use tombolo_model::id::{EndpointId, Identity};

fn peer_of(address: Option<&str>, port: u16, identity: u32, endpoint: Option<u16>) -> Peer {
    Peer {
        address: address.map(|address| address.parse().unwrap()),
        port,
        identity: Identity(identity),
        endpoint: endpoint.map(EndpointId),
    }
}

fn dropped() -> Flow {
    Flow {
        time_ns: 1_500_000_000,
        verdict: FlowVerdict::Dropped,
        seen_at: "pod".into(),
        reason: Some("policy-denied".into()),
        hint: Some("allow it by a policy".into()),
        source: peer_of(Some("10.1.1.5"), 33412, 65801, Some(3)),
        destination: peer_of(Some("10.2.1.5"), 80, 131_329, None),
        protocol: "TCP".into(),
        bytes: 74,
        ifindex: 12,
    }
}

/// 3 February 2026, 04:05:06 UTC.
const BOOT: Duration = Duration::from_secs(1_770_091_506);

#[test]
fn a_drop_has_its_reason_and_once_its_hint() {
    let mut printer = Printer::new(Colour::Off, BOOT);
    let line = "04:05:07.500Z dropped TCP 10.1.1.5:33412 (65801, endpoint 3) -> \
                10.2.1.5:80 (131329), 74 bytes at pod: policy-denied\n";
    let hint = "  hint: allow it by a policy\n";
    assert_eq!(printer.flow(&dropped()), format!("{line}{hint}"));
    assert_eq!(printer.flow(&dropped()), line);
}

#[test]
fn an_allowed_connection_is_a_line() {
    let flow = Flow {
        verdict: FlowVerdict::Allowed,
        reason: None,
        hint: None,
        source: peer_of(Some("fd00::5"), 5000, 65801, Some(3)),
        destination: peer_of(Some("fd00::1"), 0, 1, None),
        protocol: "UDP".into(),
        ..dropped()
    };
    assert_eq!(
        Printer::new(Colour::Off, BOOT).flow(&flow),
        "04:05:07.500Z allowed UDP [fd00::5]:5000 (65801, endpoint 3) -> fd00::1 (host), 74 bytes at pod\n"
    );
}

#[test]
fn conversations_of_icmp_are_no_ports() {
    let flow = Flow {
        protocol: "ICMP".into(),
        ..dropped()
    };
    let line = Printer::new(Colour::Off, BOOT).flow(&flow);
    assert!(line.contains("ICMP 10.1.1.5 (65801, endpoint 3) -> 10.2.1.5 (131329)"));
}

#[test]
fn what_is_not_known_is_a_question_mark() {
    assert_eq!(peer(&peer_of(None, 0, 0, None), true), "? (unknown)");
}

#[test]
fn colour_is_only_for_terminals() {
    let coloured = Printer::new(Colour::On, BOOT).flow(&dropped());
    assert!(coloured.contains("\x1b[31mdropped\x1b[0m"), "{coloured:?}");
    let plain = Printer::new(Colour::Off, BOOT).flow(&dropped());
    assert!(!plain.contains('\x1b'));
}

#[test]
fn losses_are_counted() {
    let printer = Printer::new(Colour::Off, BOOT);
    assert_eq!(
        printer.lost(1),
        "1 event was lost: the reader was too slow\n"
    );
    assert_eq!(
        printer.lost(9),
        "9 events were lost: the reader was too slow\n"
    );
}
