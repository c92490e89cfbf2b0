//! Keys and ranges of keys. What a key means is nobody's business here.

use std::ops::Bound;

use bytes::Bytes;

#[cfg(test)]
mod tests;

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// A set of neighbouring keys, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keys {
    One(Bytes),
    /// From the first, up to but without the second.
    Between(Bytes, Bytes),
    From(Bytes),
}

impl Keys {
    pub fn one(key: impl AsRef<[u8]>) -> Keys {
        Keys::One(Bytes::copy_from_slice(key.as_ref()))
    }

    /// All keys that begin so.
    pub fn prefix(prefix: impl AsRef<[u8]>) -> Keys {
        let start = Bytes::copy_from_slice(prefix.as_ref());
        match after_prefix(&start) {
            Some(end) => Keys::Between(start, end),
            None => Keys::From(start),
        }
    }

    pub fn all() -> Keys {
        Keys::From(Bytes::new())
    }

    /// The prefix whose keys these are, if they are all keys of one.
    pub fn as_prefix(&self) -> Option<&Bytes> {
        match self {
            Keys::Between(start, end) => {
                (after_prefix(start).as_ref() == Some(end)).then_some(start)
            }
            Keys::From(start) if start.is_empty() => Some(start),
            Keys::One(_) | Keys::From(_) => None,
        }
    }

    pub fn start(&self) -> &Bytes {
        match self {
            Keys::One(start) | Keys::Between(start, _) | Keys::From(start) => start,
        }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Keys::One(one) => one == key,
            Keys::Between(start, end) => start <= key && key < end,
            Keys::From(start) => start <= key,
        }
    }

    /// Whether each key of `other` is one of these.
    pub fn covers(&self, other: &Keys) -> bool {
        match (self, other) {
            (_, Keys::One(key)) => self.contains(key),
            (_, Keys::Between(start, end)) if end <= start => true,
            (Keys::Between(from, to), Keys::Between(start, end)) => from <= start && end <= to,
            (Keys::From(from), Keys::Between(start, _) | Keys::From(start)) => from <= start,
            // The only key of `start..end` is `start` itself when its follower in order is `end`.
            (Keys::One(key), Keys::Between(start, end)) => key == start && is_follower(start, end),
            (Keys::One(_) | Keys::Between(..), Keys::From(_)) => false,
        }
    }

    /// For the look-up in an ordered map; `None` where there can be no key at all.
    pub fn bounds(&self) -> Option<Bounds<'_>> {
        match self {
            Keys::One(key) => Some((Bound::Included(key), Bound::Included(key))),
            Keys::Between(start, end) => {
                (start < end).then_some((Bound::Included(start), Bound::Excluded(end)))
            }
            Keys::From(start) => Some((Bound::Included(start), Bound::Unbounded)),
        }
    }

    /// The same without the keys before `key`: the rest of a list that has come so far.
    pub fn starting_at(&self, key: Bytes) -> Keys {
        match self {
            Keys::One(_) => Keys::One(key),
            Keys::Between(_, end) => Keys::Between(key, end.clone()),
            Keys::From(_) => Keys::From(key),
        }
    }
}

/// The first key after all that begin with `prefix`; nothing is after the last byte value.
fn after_prefix(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end.into())
}

/// The key that directly follows in order.
pub(crate) fn follower(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

fn is_follower(key: &[u8], next: &[u8]) -> bool {
    next.strip_prefix(key) == Some(&[0])
}
