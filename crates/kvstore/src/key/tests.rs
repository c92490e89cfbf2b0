use super::{Keys, follower};
use bytes::Bytes;

fn between(start: &'static str, end: &'static str) -> Keys {
    Keys::Between(Bytes::from(start), Bytes::from(end))
}

#[test]
fn prefixes_end_before_the_next_sibling() {
    let table: [(&[u8], Keys); 5] = [
        (b"a", between("a", "b")),
        (b"a/", between("a/", "a0")),
        (b"", Keys::all()),
        (b"\xff\xff", Keys::From(Bytes::from_static(b"\xff\xff"))),
        (
            b"a\xff",
            Keys::Between(Bytes::from_static(b"a\xff"), Bytes::from_static(b"b")),
        ),
    ];
    for (prefix, expected) in table {
        assert_eq!(Keys::prefix(prefix), expected, "{prefix:?}");
    }
}

#[test]
fn prefixes_are_recognised() {
    assert_eq!(Keys::prefix("a/").as_prefix(), Some(&Bytes::from("a/")));
    assert_eq!(Keys::all().as_prefix(), Some(&Bytes::new()));
    assert_eq!(between("a", "c").as_prefix(), None);
    assert_eq!(Keys::one("a").as_prefix(), None);
}

#[test]
fn ranges_hold_their_keys() {
    let table = [
        (Keys::one("b"), "b", true),
        (Keys::one("b"), "ba", false),
        (between("b", "d"), "b", true),
        (between("b", "d"), "czz", true),
        (between("b", "d"), "d", false),
        (Keys::From(Bytes::from("b")), "zzz", true),
        (Keys::From(Bytes::from("b")), "a", false),
    ];
    for (keys, key, expected) in table {
        assert_eq!(keys.contains(key.as_bytes()), expected, "{keys:?} {key}");
    }
}

/// What covers means, asked of each short key there is.
#[test]
fn covering_is_holding_each_key() {
    let names = ["", "a", "a\0", "b", "b\0", "ba", "c"];
    let mut all = Vec::new();
    for start in names {
        all.push(Keys::one(start));
        all.push(Keys::From(Bytes::from(start)));
        for end in names {
            all.push(between(start, end));
        }
    }
    // Enough keys around each bound to tell any two of the ranges apart.
    let mut probes: Vec<Bytes> = Vec::new();
    for name in names {
        let mut key = Bytes::from(name);
        for _ in 0..3 {
            probes.push(key.clone());
            key = follower(&key);
        }
        probes.push([name.as_bytes(), b"\xff"].concat().into());
    }
    for one in &all {
        for other in &all {
            let expected = probes
                .iter()
                .all(|key| one.contains(key) || !other.contains(key));
            assert_eq!(one.covers(other), expected, "{one:?} {other:?}");
        }
    }
}
