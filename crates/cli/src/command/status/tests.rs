use super::*;
use crate::command::testing;

mod clusters;
mod program;

fn judged(agent: local::Status) -> Status<local::Status> {
    Status::of(problems(&agent), agent)
}

#[test]
fn a_healthy_node_is_shown_whole() {
    let status = judged(testing::status());
    assert!(status.healthy);
    assert_eq!(
        render(&status, Colour::Off),
        "\
n1 of cluster cluster1 (id 1): healthy
  agent          0.1.0, up 1 h 2 min
  routing        tunnel, MTU of pods 1450
  uplinks        eth0
  pod ranges     10.1.1.0/24, fd00:10:1:1::/64
  free addresses ipv4 251, ipv6 > 10^12
  endpoints      2
  nodes          3
  addresses      12
  flows          7 of 131072
  dropped        policy-denied 4
  refused facts  none
"
    );
}

#[test]
fn names_are_a_line_where_they_are_answered() {
    let line = |names: local::NamesStatus| {
        let status = judged(local::Status {
            names: Some(names),
            ..testing::status()
        });
        let text = render(&status, Colour::Off);
        let mut lines = text.lines().map(str::trim);
        let found = lines.find_map(|line| line.strip_prefix("names "));
        found.expect("a line").trim().to_owned()
    };
    let mut names = local::NamesStatus::default();
    assert!(line(names.clone()).contains("until all its services are known"));
    names.addresses = vec![[10, 1, 1, 1].into()];
    (names.answered, names.forwarded, names.servers) = (7, 3, 2);
    assert_eq!(
        line(names.clone()),
        "answered 7, forwarded 3 to 2 name servers, failed 0"
    );
    names.refused = 4;
    assert!(line(names).ends_with("failed 0, refused 4"));
}

#[test]
fn every_problem_is_a_line() {
    let agent = local::Status {
        synced: false,
        pending: 2,
        warnings: vec!["eth0 is down".into()],
        ..testing::status()
    };
    let status = judged(agent);
    assert!(!status.healthy);
    let text = render(&status, Colour::Off);
    assert!(text.starts_with("n1 of cluster cluster1 (id 1): not healthy\n"));
    let warnings: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("warning: "))
        .collect();
    assert_eq!(warnings.len(), 3, "{text}");
    assert_eq!(warnings[0], "warning: eth0 is down");
}

#[test]
fn json_says_healthy_beside_what_the_agent_said() {
    let json = serde_json::to_value(judged(testing::status())).unwrap();
    assert_eq!(json["healthy"], true);
    assert_eq!(json["node"], "n1");
    assert_eq!(json["flows"]["size"], 131_072);
}

#[test]
fn durations_have_two_units() {
    let cases = [
        (0, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3720, "1 h 2 min"),
        (90000, "1 d 1 h"),
    ];
    for (seconds, text) in cases {
        assert_eq!(duration(seconds), text);
    }
}
