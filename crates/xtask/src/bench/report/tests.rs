use super::{Goal, Measure, Report, Spread};

const RATE: Measure = Measure::new("tcp_rr", "transactions/s");

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

#[test]
fn goals_are_judged_by_medians_and_only_for_our_side() {
    let table = [
        (Goal::AtMost(130.0), true),
        (Goal::AtMost(129.0), false),
        (Goal::AtLeast(130.0), true),
        (Goal::AtLeast(131.0), false),
        (Goal::TimesAtLeast(1.3, "etcd"), true),
        (Goal::TimesAtLeast(1.4, "etcd"), false),
    ];
    for (goal, met) in table {
        let mut report = Report::new(&["etcd"]);
        for value in [100.0, 130.0, 900.0] {
            report.add("tombolo", RATE.with(goal), value);
            report.add("etcd", RATE.with(goal), 100.0);
        }
        let json = report.json();
        assert_eq!(json[0]["met"], met, "{goal}");
        assert_eq!(json[1]["met"], serde_json::Value::Null);
        let word = if met { ": met" } else { ": missed" };
        let ours = report.table().lines().nth(1).unwrap().to_owned();
        assert!(ours.ends_with(&format!("{goal}{word}")), "{ours}");
    }
}

#[test]
fn a_ratio_that_was_not_measured_is_not_judged() {
    let mut report = Report::new(&["etcd"]);
    report.add("tombolo", RATE.with(Goal::TimesAtLeast(2.0, "etcd")), 1.0);
    assert_eq!(report.json()[0]["met"], serde_json::Value::Null);
}
