use super::usage::{Step, Usage};
use std::time::Duration;
use tombolo_k8s::client::{Api, Item, ObjectName};
use tombolo_model::event::Event;

const HALF: u64 = 100;

fn item(api: Api, text: &str) -> (ObjectName, Item) {
    let item = Item::parse(api, text).unwrap();
    (item.name().clone(), item)
}

fn identity(usage: &mut Usage, number: u32, version: &str, marked: bool, now: u64) {
    let mark = if marked {
        r#""tombolo.io/unused-since":"x""#
    } else {
        ""
    };
    let text = format!(
        r#"{{"metadata":{{"name":"{number}","resourceVersion":"{version}","annotations":{{{mark}}}}},"security-labels":{{}}}}"#
    );
    let (name, item) = item(Api::CILIUM_IDENTITIES, &text);
    usage.identity(Ok(Event::Upsert(name, item)), seconds(now));
}

fn endpoint(usage: &mut Usage, pod: &str, identity: u32, now: u64) {
    let text = format!(
        r#"{{"metadata":{{"name":"{pod}","namespace":"shop"}},"status":{{"identity":{{"id":{identity}}}}}}}"#
    );
    let (name, item) = item(Api::CILIUM_ENDPOINTS, &text);
    usage.endpoint(Ok(Event::Upsert(name, item)), seconds(now));
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn usage() -> Usage {
    let mut usage = Usage::new(seconds(HALF));
    usage.identity(Ok(Event::Synced), seconds(0));
    usage.endpoint(Ok(Event::Synced), seconds(0));
    usage
}

fn steps(usage: &Usage, now: u64) -> Vec<String> {
    let word = |step: Step| match step {
        Step::Mark { name, version } => format!("mark {name} {version}"),
        Step::Unmark { name, version } => format!("unmark {name} {version}"),
        Step::End { name, version } => format!("end {name} {version}"),
    };
    usage.steps(seconds(now)).into_iter().map(word).collect()
}

#[test]
fn an_identity_without_users_is_marked_and_then_ended() {
    let mut usage = usage();
    identity(&mut usage, 65_600, "1", false, 0);
    endpoint(&mut usage, "a", 65_600, 0);
    endpoint(&mut usage, "b", 65_600, 0);
    assert_eq!(steps(&usage, 1000), [""; 0]);
    let name = Api::CILIUM_ENDPOINTS.name("shop", "a");
    usage.endpoint(Ok(Event::Delete(name)), seconds(1000));
    assert_eq!(steps(&usage, 2000), [""; 0]);
    // Its labels have changed.
    endpoint(&mut usage, "b", 65_601, 2000);
    assert_eq!(steps(&usage, 2099), [""; 0]);
    assert_eq!(steps(&usage, 2100), ["mark 65600 1"]);
    identity(&mut usage, 65_600, "2", true, 2101);
    assert_eq!(steps(&usage, 2200), [""; 0]);
    assert_eq!(steps(&usage, 2201), ["end 65600 2"]);
    // Its mark was taken off by one who uses it soon.
    identity(&mut usage, 65_600, "3", false, 2202);
    assert_eq!(steps(&usage, 2250), [""; 0]);
    endpoint(&mut usage, "c", 65_600, 2260);
    assert_eq!(steps(&usage, 9000), [""; 0]);
}

#[test]
fn one_that_is_used_has_no_mark() {
    let mut usage = usage();
    identity(&mut usage, 65_600, "1", true, 0);
    endpoint(&mut usage, "a", 65_600, 0);
    assert_eq!(steps(&usage, 1), ["unmark 65600 1"]);
}

#[test]
fn nothing_ends_before_all_is_known_nor_what_no_cluster_gives() {
    let mut usage = Usage::new(seconds(HALF));
    identity(&mut usage, 65_600, "1", true, 0);
    usage.identity(Ok(Event::Synced), seconds(0));
    assert_eq!(steps(&usage, 1000), [""; 0]);
    usage.endpoint(Ok(Event::Synced), seconds(0));
    assert_eq!(steps(&usage, 1000), ["end 65600 1"]);
    for reserved in [7, 255, 1 << 24] {
        identity(&mut usage, reserved, "1", true, 0);
    }
    assert_eq!(steps(&usage, 1000), ["end 65600 1"]);
    // Of the time when the cluster had another number.
    identity(&mut usage, 2 * 65_536 + 1, "1", true, 0);
    assert_eq!(steps(&usage, 1000), ["end 131073 1", "end 65600 1"]);
}

#[test]
fn a_list_anew_sweeps_users_that_went_meanwhile() {
    let mut usage = usage();
    identity(&mut usage, 65_600, "1", false, 0);
    endpoint(&mut usage, "a", 65_600, 0);
    usage.endpoint(Ok(Event::Restart), seconds(500));
    assert_eq!(steps(&usage, 700), [""; 0]);
    usage.endpoint(Ok(Event::Synced), seconds(700));
    assert_eq!(steps(&usage, 750), [""; 0]);
    assert_eq!(steps(&usage, 800), ["mark 65600 1"]);
}
