use super::*;
use crate::command::testing;

#[test]
fn reserved_identities_come_first_and_addresses_are_counted() {
    assert_eq!(
        render(&count(&testing::addresses())),
        "\
IDENTITY  NAME            ADDRESSES
1         host            0
2         world           1
3         unmanaged       0
4         health          0
5         init            0
6         remote-node     0
7         kube-apiserver  0
8         ingress         0
9         world-ipv4      0
10        world-ipv6      0
65801     -               2
131329    -               1
"
    );
}

#[test]
fn json_carries_the_number() {
    let seen = count(&testing::addresses()).pop().unwrap();
    assert_eq!(
        serde_json::to_value(seen).unwrap(),
        serde_json::json!({"identity": 131329, "name": "", "addresses": 1})
    );
}
