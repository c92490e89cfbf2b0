use super::*;

fn pair(way: Way, reachable: bool, source_right: bool) -> Pair {
    Pair {
        from: "c1-n1-p1".into(),
        to: "c2-n1-p1".into(),
        way,
        protocol: Protocol::Tcp,
        family: Family::Ipv6,
        mode: "tunnel".into(),
        reachable,
        rtt_us: reachable.then(|| Duration::from_nanos(81_500)),
        source_seen: reachable.then(|| "fd00::1".parse().unwrap()),
        source_right,
        error: (!reachable).then(|| "no answer".into()),
    }
}

#[test]
fn all_is_well_only_if_every_pair_is() {
    let well = pair(Way::SameNode, true, true);
    let report = Report::of(vec![well]);
    assert!(report.all_well());
    for (reachable, source_right) in [(false, false), (true, false)] {
        let report = Report::of(vec![
            pair(Way::SameNode, true, true),
            pair(Way::AcrossNodes, reachable, source_right),
        ]);
        assert!(!report.all_well());
    }
    assert!(!Report::of(Vec::new()).all_well());
}

#[test]
fn json_has_one_object_for_each_pair_and_a_total() {
    let report = Report::of(vec![
        pair(Way::AcrossClusters, true, true),
        pair(Way::AcrossClusters, false, false),
    ]);
    let expected = serde_json::json!({
        "pairs": [
            {"from": "c1-n1-p1", "to": "c2-n1-p1", "way": "across-clusters", "protocol": "tcp", "family": "ipv6",
             "mode": "tunnel", "reachable": true, "rtt_us": 81.5, "source_seen": "fd00::1", "source_right": true},
            {"from": "c1-n1-p1", "to": "c2-n1-p1", "way": "across-clusters", "protocol": "tcp", "family": "ipv6",
             "mode": "tunnel", "reachable": false, "rtt_us": null, "source_seen": null, "source_right": false,
             "error": "no answer"},
        ],
        "total": {"pairs": 2, "reachable": 1, "unreachable": 1, "wrong_source": 0},
    });
    assert_eq!(serde_json::to_value(&report).unwrap(), expected);
}

#[test]
fn the_table_shows_rows_that_have_pairs_and_names_failures() {
    let report = Report::of(vec![
        pair(Way::SameNode, true, true),
        pair(Way::AcrossClusters, false, false),
    ]);
    let text = table::text(&report);
    assert!(text.contains("pods of one node"), "{text}");
    assert!(text.contains("1 ok 81 µs"), "{text}");
    assert!(text.contains("0 of 1"), "{text}");
    assert!(!text.contains("pods across nodes"), "{text}");
    assert!(
        text.contains("✗ c1-n1-p1 → c2-n1-p1 TCP v6: no answer"),
        "{text}"
    );
    assert!(
        text.ends_with("1 of 2 reachable, 0 seen with a wrong source\n"),
        "{text}"
    );
}
