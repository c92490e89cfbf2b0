//! The same random requests to a store and to the memory within the test: all answers must be equal, revisions too.

use bytes::Bytes;
use tombolo_kvstore::{
    Answer, Compare, Delete, Error, Field, Keys, Limits, Memory, Operand, Operation, Order, Put,
    Query, Relation, Revision, Store, Transaction, Written,
};

const STEPS: usize = 400;
/// Of transactions within transactions. Only the outermost delete: what deeper ones delete, etcd does not compare
/// with all that others put, so that a key may be written twice. We refuse that.
const DEPTH: usize = 2;

/// A small seeded generator (xorshift64*).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        (number % limit as u64) as usize
    }

    fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    fn key(&mut self) -> Bytes {
        let length = 1 + self.below(2);
        (0..length).map(|_| b"abc"[self.below(3)]).collect()
    }

    fn keys(&mut self) -> Keys {
        match self.below(5) {
            0 => Keys::One(self.key()),
            1 | 2 => Keys::prefix(self.key()),
            3 => Keys::Between(self.key(), self.key()),
            _ => Keys::all(),
        }
    }

    /// etcd overlooks that a put writes again what a range without an end deletes; we refuse that as any other.
    fn closed_keys(&mut self) -> Keys {
        loop {
            let keys = self.keys();
            if !matches!(keys, Keys::From(_)) {
                return keys;
            }
        }
    }

    fn put(&mut self) -> Put {
        let mut put = Put::new(self.key(), self.below(9).to_string());
        put.want_previous = self.chance();
        if self.below(6) == 0 {
            put.value = Written::Keep;
        }
        put
    }

    fn query(&mut self, present: Revision) -> Query {
        let fields = [Field::Key, Field::Version, Field::Created, Field::Modified];
        let mut query = Query::new(self.keys());
        query.limit = self.below(4);
        query.keys_only = self.below(4) == 0;
        query.count_only = self.below(5) == 0;
        if self.below(3) == 0 {
            let back = self.below(12) as i64 - 1;
            query.revision = Some(Revision((present.0 - back).max(1)));
        }
        if self.below(3) == 0 {
            let by = fields[self.below(4)];
            let descending = by == Field::Key || self.chance();
            query.order = Some(Order { by, descending });
            // Where versions are equal the order is not said, and a limit would tell the difference.
            if by != Field::Key {
                query.limit = 0;
                query.order = query.order.filter(|_| by == Field::Modified);
            }
        }
        if self.below(5) == 0 {
            query.within.modified_min = Revision(present.0 - self.below(9) as i64);
            query.within.created_max = Revision(present.0 - self.below(3) as i64);
        }
        query
    }

    fn compare(&mut self, present: Revision) -> Compare {
        let relations = [
            Relation::Equal,
            Relation::Greater,
            Relation::Less,
            Relation::NotEqual,
        ];
        let recent = Revision(present.0 - self.below(5) as i64);
        let to = match self.below(5) {
            0 => Operand::Version(self.below(3) as i64),
            1 => Operand::Created(recent),
            2 => Operand::Modified(recent),
            3 => Operand::Value(Bytes::from(self.below(9).to_string())),
            _ => Operand::Lease(None),
        };
        Compare {
            keys: self.keys(),
            relation: relations[self.below(4)],
            to,
        }
    }

    fn transaction(&mut self, present: Revision, depth: usize) -> Transaction {
        let compares = (0..self.below(3)).map(|_| self.compare(present)).collect();
        let mut list = || -> Vec<Operation> {
            let count = self.below(4);
            (0..count)
                .map(|_| match self.below(if depth > 0 { 4 } else { 2 }) {
                    0 => Operation::Query(Query {
                        order: None,
                        ..self.query(present)
                    }),
                    1 => Operation::Put(self.put()),
                    2 if depth == DEPTH => Operation::Delete(Delete {
                        keys: self.closed_keys(),
                        want_previous: true,
                    }),
                    _ => Operation::Transaction(self.transaction(present, depth - 1)),
                })
                .collect()
        };
        let (then, otherwise) = (list(), list());
        Transaction {
            compares,
            then,
            otherwise,
        }
    }
}

/// What matters of an error is which it is.
fn kind<T>(result: Result<T, Error>) -> Result<T, String> {
    result.map_err(|error| {
        let text = format!("{error:?}");
        text.split([' ', '(', '{'])
            .next()
            .unwrap_or_default()
            .to_owned()
    })
}

/// etcd has no revision in the answers of transactions within others.
fn without_inner_revisions(answers: &mut [Answer]) {
    for answer in answers {
        if let Answer::Transaction(inner) = answer {
            inner.revision = Revision(0);
            without_inner_revisions(&mut inner.answers);
        }
    }
}

/// The store is fresh.
pub async fn equals_memory(store: &impl Store) {
    let memory = Memory::new(Limits::default(), 1);
    let mut random = Random(0x5eed);
    let mut written = 0;
    for step in 0..STEPS {
        let present = memory.with(|mvcc, _| mvcc.revision());
        match random.below(10) {
            0..=3 => {
                let put = random.put();
                let expected = kind(memory.put(put.clone()).await);
                written += usize::from(expected.is_ok());
                assert_eq!(
                    kind(store.put(put.clone()).await),
                    expected,
                    "{step} {put:?}"
                );
            }
            4 => {
                let delete = Delete {
                    keys: random.keys(),
                    want_previous: random.chance(),
                };
                let expected = kind(memory.delete(delete.clone()).await);
                let found = kind(store.delete(delete.clone()).await);
                assert_eq!(found, expected, "{step} {delete:?}");
            }
            5 | 6 => {
                let query = random.query(present);
                let expected = kind(memory.query(query.clone()).await);
                let found = kind(store.query(query.clone()).await);
                assert_eq!(found, expected, "{step} {query:?}");
            }
            7 if step % 4 == 0 => {
                let revision = Revision(present.0 - 3);
                let expected = kind(memory.compact(revision).await);
                assert_eq!(kind(store.compact(revision).await), expected, "{step}");
            }
            _ => {
                let transaction = random.transaction(present, DEPTH);
                let mut expected = kind(memory.transact(transaction.clone()).await);
                let mut found = kind(store.transact(transaction.clone()).await);
                for answer in [&mut expected, &mut found].into_iter().flatten() {
                    without_inner_revisions(&mut answer.answers);
                }
                assert_eq!(found, expected, "{step} {transaction:?}");
            }
        }
    }
    assert!(written > STEPS / 5, "hardly anything was written");
}
