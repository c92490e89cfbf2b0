//! A store with its server: requests in, answers and watches' changes out, over the production code's memory.
//!
//! Its memory may be kept or lost when its process starts anew. A second watch of our own sees all that happens to it.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use tombolo_kvstore::{
    Change, Delete, DeleteAnswer, Keys, Lease, LeaseId, LeaseStatus, Limits, Memory, Page, Put,
    PutAnswer, Query, Result, Revision, Store, Transaction, TransactionAnswer, Watch as _,
    WatchSpec,
};

use crate::{
    net::{Call, ConnId, Letter, Net, Reply, What},
    process::{ITSELF, ProcessId},
};

type MemoryWatch = <Memory as Store>::Watch;

/// How late a lease may end.
const TICK: Duration = Duration::from_millis(200);
/// How late watches are told, where nothing is wrong.
const TURN: Duration = Duration::from_millis(2);

pub(crate) struct Server {
    pub(crate) id: ProcessId,
    pub(crate) cluster: usize,
    store: Paged,
    /// Differs for each store that there ever was, like an etcd's cluster id.
    pub(crate) data: u64,
    watches: BTreeMap<u64, Watching>,
    bells: Arc<Bells>,
    last: u64,
    all: MemoryWatch,
    /// How much later than due watches are told.
    pub(crate) lateness: Duration,
    alarm: Option<Duration>,
}

struct Watching {
    conn: ConnId,
    number: u64,
    watch: MemoryWatch,
    waker: Waker,
    is_due: bool,
}

impl Server {
    pub(crate) fn new(
        id: ProcessId,
        cluster: usize,
        data: u64,
        page: usize,
        age: Duration,
    ) -> Self {
        let store = Paged::new(data, page, age);
        let all = watch_all(&store);
        Server {
            id,
            cluster,
            store,
            data,
            watches: BTreeMap::new(),
            bells: Arc::default(),
            last: 0,
            all,
            lateness: Duration::ZERO,
            alarm: None,
        }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.store.memory
    }

    pub(crate) fn watches(&self) -> usize {
        self.watches.len()
    }

    /// Its process has ended; it begins anew with what it had, or as another store with nothing.
    pub(crate) fn restart(&mut self, wiped: Option<u64>) {
        self.watches.clear();
        self.bells = Arc::default();
        self.alarm = None;
        if let Some(data) = wiped {
            self.store = Paged::new(data, self.store.page, self.store.age);
            self.all = watch_all(&self.store);
            self.data = data;
        }
    }

    /// Lets the memory know the time; leases end.
    pub(crate) fn tick<P>(&mut self, net: &Net<P>) {
        self.store.memory.handle_timeout(net.local(self.id));
    }

    /// What has been written since this was last asked.
    pub(crate) fn written(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(next) = pin!(self.all.next()).poll(&mut context) {
            changes.extend(next.expect("read before it can be compacted"));
        }
        changes
    }

    pub(crate) fn contents(&self, keys: Keys) -> BTreeMap<Bytes, Bytes> {
        let page = now(self.store.memory.query(Query::new(keys)));
        let records = page.expect("a store in memory answers").records;
        let records = records.into_iter();
        records.map(|record| (record.key, record.value)).collect()
    }

    pub(crate) fn compact(&mut self) {
        let present = self.store.memory.with(|mvcc, _| mvcc.revision());
        // It may have been compacted there already.
        let _: Result<()> = now(self.store.memory.compact(present));
    }

    pub(crate) fn receive<P>(&mut self, conn: ConnId, letter: Letter, net: &mut Net<P>) {
        match letter {
            Letter::Request { number, call } => {
                self.store.memory.at(net.local(self.id), |_, _| ());
                let reply = self.execute(conn, number, call);
                net.answer(conn, number, self.data, reply);
            }
            Letter::Fin => self.watches.retain(|_, watching| watching.conn != conn),
            letter => panic!("a server got {letter:?}"),
        }
    }

    fn execute(&mut self, conn: ConnId, number: u64, call: Call) -> Result<Reply> {
        Ok(match call {
            Call::Page { keys, from } => {
                let (page, next) = now(self.store.page(keys, from))?;
                Reply::Page(page, next)
            }
            Call::Watch { keys, since } => {
                let watch = now(self.store.watch(WatchSpec::new(keys, Some(since))))?;
                self.last += 1;
                let (id, bells) = (self.last, self.bells.clone());
                bells.ring(id);
                let watching = Watching {
                    conn,
                    number,
                    watch,
                    waker: Waker::from(Arc::new(Bell { id, bells })),
                    is_due: false,
                };
                self.watches.insert(id, watching);
                Reply::Watching
            }
            Call::Transact(transaction) => {
                Reply::Transacted(now(self.store.transact(transaction))?)
            }
            Call::Grant(ttl) => Reply::Granted(now(self.store.grant(ttl))?),
            Call::Renew(lease) => {
                now(self.store.renew(lease))?;
                Reply::Renewed
            }
        })
    }

    /// Lets watches know what they have to read, soon. To be called after anything else.
    pub(crate) fn pump<P>(&mut self, net: &mut Net<P>) {
        for watch in self.bells.take() {
            if let Some(watching) = self.watches.get_mut(&watch).filter(|it| !it.is_due) {
                watching.is_due = true;
                let late = net.up_to(TURN + self.lateness);
                net.happen(net.now + late, self.id, What::Flush { watch });
            }
        }
        let next = self.store.memory.with(|mvcc, _| mvcc.poll_timeout());
        if let Some(next) = next {
            let end = net.end(self.id, ITSELF);
            net.wake(end, next + TICK, &mut self.alarm);
        }
    }

    pub(crate) fn flush<P>(&mut self, id: u64, net: &mut Net<P>) {
        let Some(watching) = self.watches.get_mut(&id) else {
            return;
        };
        watching.is_due = false;
        let mut context = Context::from_waker(&watching.waker);
        let mut ended = false;
        while !ended && let Poll::Ready(next) = pin!(watching.watch.next()).poll(&mut context) {
            ended = next.is_err();
            let reply = next.map(Reply::Changes);
            net.answer(watching.conn, watching.number, self.data, reply);
        }
        if ended {
            self.watches.remove(&id);
        }
    }
}

fn watch_all(store: &Paged) -> MemoryWatch {
    let spec = WatchSpec::new(Keys::all(), None);
    now(store.watch(spec)).expect("a new store has room for a watch")
}

/// A store in memory answers at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a store in memory that does not answer at once"),
    }
}

/// Which watches have something to read.
#[derive(Default)]
struct Bells(Mutex<Vec<u64>>);

struct Bell {
    id: u64,
    bells: Arc<Bells>,
}

impl Bells {
    fn ring(&self, id: u64) {
        let mut rung = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rung.push(id);
    }

    fn take(&self) -> Vec<u64> {
        let mut rung = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut rung)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.bells.ring(self.id);
    }
}

/// The memory with pages so small that lists have several.
#[derive(Clone)]
struct Paged {
    memory: Memory,
    page: usize,
    age: Duration,
}

impl Paged {
    fn new(data: u64, page: usize, age: Duration) -> Paged {
        let limits = Limits {
            history_age_max: age,
            ..Limits::default()
        };
        Paged {
            memory: Memory::new(limits, data),
            page,
            age,
        }
    }
}

impl Store for Paged {
    type Watch = MemoryWatch;

    async fn query(&self, query: Query) -> Result<Page> {
        self.memory.query(query).await
    }

    async fn put(&self, put: Put) -> Result<PutAnswer> {
        self.memory.put(put).await
    }

    async fn delete(&self, delete: Delete) -> Result<DeleteAnswer> {
        self.memory.delete(delete).await
    }

    async fn transact(&self, transaction: Transaction) -> Result<TransactionAnswer> {
        self.memory.transact(transaction).await
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        self.memory.compact(revision).await
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease> {
        self.memory.grant(ttl).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<Duration> {
        self.memory.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.memory.revoke(lease).await
    }

    async fn lease(&self, lease: LeaseId) -> Result<LeaseStatus> {
        self.memory.lease(lease).await
    }

    async fn watch(&self, spec: WatchSpec) -> Result<MemoryWatch> {
        self.memory.watch(spec).await
    }

    fn page_size(&self) -> usize {
        self.page
    }
}
