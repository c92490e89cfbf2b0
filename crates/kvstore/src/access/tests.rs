use std::collections::BTreeMap;

use super::{Access, Need, Right, Role};
use crate::key::Keys;

fn access() -> Access {
    let ranges = vec![
        (Keys::one("beat"), Right::Read),
        (Keys::prefix("state/"), Right::Read),
        (Keys::prefix("own/"), Right::ReadWrite),
    ];
    let entry = |name: &str, role: &str| (name.to_owned(), role.to_owned());
    Access {
        users: BTreeMap::from([
            entry("admin", "root"),
            entry("peer", "reader"),
            entry("lost", "forgotten"),
        ]),
        roles: BTreeMap::from([
            ("root".to_owned(), Role::Root),
            ("reader".to_owned(), Role::Ranges(ranges)),
        ]),
    }
}

#[test]
fn users_may_do_what_their_role_permits() {
    let read = |keys| Need::Keys(keys, Right::Read);
    let write = |keys| Need::Keys(keys, Right::Write);
    let table = [
        ("peer", read(Keys::one("beat")), true),
        ("peer", read(Keys::prefix("beat")), false),
        ("peer", read(Keys::one("state/a")), true),
        ("peer", read(Keys::prefix("state/nodes/")), true),
        ("peer", read(Keys::prefix("stat")), false),
        ("peer", read(Keys::all()), false),
        ("peer", write(Keys::one("state/a")), false),
        ("peer", write(Keys::one("own/a")), true),
        ("peer", Need::SomeWrite, true),
        ("peer", Need::Root, false),
        ("admin", read(Keys::all()), true),
        ("admin", Need::Root, true),
        ("stranger", read(Keys::one("beat")), false),
        ("lost", read(Keys::one("beat")), false),
    ];
    for (user, need, expected) in table {
        assert_eq!(
            access().permits(Some(user), &need),
            expected,
            "{user} {need:?}"
        );
    }
    assert!(!access().permits(None, &read(Keys::one("beat"))));
}
