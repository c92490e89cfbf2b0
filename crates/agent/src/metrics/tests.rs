use super::*;

#[test]
fn every_line_is_what_prometheus_reads() {
    let status = Status {
        node: "quo\"te".into(),
        drops: [("policy-denied".to_owned(), 3), ("no-route".to_owned(), 1)].into(),
        endpoints: 2,
        ..Status::default()
    };
    let page = render(&status, Counts::default());
    assert!(
        page.contains("tombolo_agent_info{version=\"\",cluster=\"\",node=\"quo\\\"te\"} 1\n"),
        "{page}"
    );
    assert!(page.contains("tombolo_dropped_packets_total{reason=\"policy-denied\"} 3\n"));
    assert!(page.contains("# TYPE tombolo_endpoints gauge\ntombolo_endpoints 2\n"));
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(
            name.starts_with("tombolo_") && value.parse::<u64>().is_ok(),
            "{line}"
        );
        let family = name.split('{').next().unwrap();
        assert!(page.contains(&format!("# TYPE {family} ")), "{line}");
        assert_eq!(
            family.ends_with("_total"),
            page.contains(&format!("# TYPE {family} counter")),
            "{line}"
        );
    }
}
