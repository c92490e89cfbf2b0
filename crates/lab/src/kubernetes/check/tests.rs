use super::{
    Report,
    pods::{Pod, Question, judge},
    services,
};
use crate::ask::Asked;
use serde_json::{Value, json};

fn pod(number: u8) -> Pod {
    Pod {
        cluster: format!("cluster{number}"),
        number,
        name: format!("echo-{number}"),
        node: format!("c{number}-n1"),
        addresses: vec![format!("10.{number}.0.7").parse().unwrap()],
    }
}

fn report(answers: &[(u64, Value)]) -> Report {
    let (from, to) = (pod(1), pod(2));
    let questions = answers.iter().map(|(microseconds, answer)| Question {
        from: &from,
        to: &to,
        way: "tcp",
        family: "v4",
        asked: Asked {
            url: "tcp://10.2.0.7:7007".into(),
            microseconds: *microseconds,
            answer: answer.clone(),
            error: answer.is_null().then(|| "no answer".to_owned()),
        },
    });
    let mut report = Report {
        pods: Vec::new(),
        services: Vec::new(),
        seen: Vec::new(),
        failures: Vec::new(),
    };
    judge(&questions.collect::<Vec<_>>(), &mut report);
    report
}

#[test]
fn only_the_right_answer_counts() {
    let answer = |pod: &str, cluster: &str, from: &str| json!({"pod": pod, "cluster": cluster, "from": from});
    let right = answer("echo-2", "cluster2", "10.1.0.7");
    for (wrong, word) in [
        (Value::Null, "no answer"),
        (answer("echo-1", "cluster1", "10.1.0.7"), "another one"),
        (answer("echo-2", "cluster1", "10.1.0.7"), "another one"),
        (answer("echo-2", "cluster2", "172.30.1.11"), "172.30.1.11"),
        (answer("echo-2", "cluster2", "?"), "it is seen as"),
    ] {
        let report = report(&[(300, right.clone()), (9, wrong), (100, right.clone())]);
        assert!(!report.well());
        assert_eq!((report.pods[0].asked, report.pods[0].answered), (3, 2));
        assert_eq!(report.failures.len(), 1);
        assert!(report.failures[0].contains(word), "{:?}", report.failures);
        assert!(report.text().contains("2 of 3 300 µs"), "{}", report.text());
    }
    let report = report(&[(300, right.clone()), (20_000, right.clone()), (100, right)]);
    assert!(report.well());
    let text = report.text();
    assert!(text.contains("cluster1 → cluster2"), "{text}");
    assert!(text.contains("3 ok 300 µs"), "{text}");
    assert!(text.contains("3 of 3 questions"), "{text}");
}

#[test]
fn nothing_asked_is_not_well() {
    assert!(!report(&[]).well());
}

#[test]
fn a_cluster_that_never_answers_for_a_service_is_told_of() {
    let asked = |answer: Value| Asked {
        url: "http://172.20.0.9:80".into(),
        microseconds: 400,
        error: answer.is_null().then(|| "no answer".to_owned()),
        answer,
    };
    let answers = |clusters: &[&str]| -> Vec<Asked> {
        let each = clusters
            .iter()
            .map(|cluster| asked(json!({"cluster": cluster})));
        each.collect()
    };
    let judge = |asked: &[Asked]| {
        let mut report = report(&[]);
        report.seen.clear();
        let clusters = ["cluster1", "cluster2"].into();
        services::judge(&pod(1), "172.20.0.9".into(), asked, &clusters, &mut report);
        report
    };
    let well = judge(&answers(&["cluster2", "cluster1", "cluster2", "cluster2"]));
    assert_eq!(well.failures, [""; 0]);
    assert_eq!(
        well.seen,
        [
            "4 calls of Service echo at 172.20.0.9 in cluster1 were answered by cluster1 25 %, cluster2 75 %"
        ]
    );
    let mut one = answers(&["cluster1"]);
    one.push(asked(Value::Null));
    let ill = judge(&one);
    assert_eq!(ill.failures.len(), 2, "{:?}", ill.failures);
    assert!(ill.failures[0].ends_with("no answer"), "{:?}", ill.failures);
    assert!(
        ill.failures[1].contains("cluster2 never answers"),
        "{:?}",
        ill.failures
    );
}
