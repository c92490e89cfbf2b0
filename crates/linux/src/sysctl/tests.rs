use super::*;
use crate::testing::Scratch;

#[test]
fn parameters_are_those_of_the_threads_namespace() {
    let (one, other) = (Scratch::new(), Scratch::new());
    one.run(|| set("net/ipv4/ip_forward", "1").unwrap())
        .unwrap();
    other
        .run(|| set("net/ipv4/ip_forward", "0").unwrap())
        .unwrap();
    assert_eq!(
        one.run(|| get("net/ipv4/ip_forward").unwrap()).unwrap(),
        "1"
    );
    assert_eq!(
        other.run(|| get("net/ipv4/ip_forward").unwrap()).unwrap(),
        "0"
    );
}

#[test]
fn missing_parameter_is_not_found() {
    assert!(get("net/no/such").unwrap_err().is_not_found());
    assert!(set("net/no/such", "1").unwrap_err().is_not_found());
}
