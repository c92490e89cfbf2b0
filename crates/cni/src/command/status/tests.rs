use super::*;

#[test]
fn a_family_without_free_addresses_stops_new_pods() {
    let with = |free: &[(&str, u64)]| local::Status {
        free_addresses: free.iter().map(|(f, n)| ((*f).to_owned(), *n)).collect(),
        ..local::Status::default()
    };
    judge(&with(&[])).unwrap();
    judge(&with(&[("ipv4", 1), ("ipv6", 9)])).unwrap();
    let error = judge(&with(&[("ipv4", 0), ("ipv6", 9)])).unwrap_err();
    assert_eq!(error.code(), 50);
    assert_eq!(
        error.to_string(),
        "new pods can't be attached: no ipv4 address is free"
    );
}
