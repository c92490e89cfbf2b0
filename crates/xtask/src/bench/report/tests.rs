use super::{Measure, Report, Spread};

const RATE: Measure = Measure {
    name: "tcp_rr",
    unit: "transactions/s",
};

#[test]
fn median_of_even_and_odd_counts() {
    let table: [(&[f64], f64); 3] = [
        (&[7.0], 7.0),
        (&[3.0, 1.0, 2.0], 2.0),
        (&[4.0, 1.0, 3.0, 2.0], 2.5),
    ];
    for (values, expected) in table {
        assert_eq!(Spread::of(values.to_vec()).median, expected, "{values:?}");
    }
}

/// Both sides double in the second round; their ratio must not notice.
#[test]
fn ratios_are_taken_within_a_round() {
    let mut report = Report::new(&["vxlan", "host"]);
    for factor in [1.0, 2.0] {
        report.add("vxlan", RATE, 100.0 * factor);
        report.add("tombolo", RATE, 130.0 * factor);
    }
    let json = report.json();
    assert_eq!(json.len(), 3, "two sides and one ratio: {json:?}");
    assert_eq!(json[0]["runs"], serde_json::json!([100.0, 200.0]));
    let ratio = &json[2];
    assert_eq!(ratio["ratio_of"], "tombolo");
    assert_eq!(ratio["to"], "vxlan");
    assert_eq!((&ratio["min"], &ratio["max"]), (&1.3.into(), &1.3.into()));
}
