//! A client of any etcd of version 3.
//!
//! Tries each endpoint in turn, keeps one connection, and tells when another cluster answers than before. What finds its
//! connection at an end goes by a new one, if it has not left yet or changes nothing. Otherwise no request is repeated:
//! whether that is right only the caller knows.

mod call;
mod connection;
mod noting;
mod pace;
mod refusal;
mod single;
mod watch;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::http::uri::PathAndQuery;
use tokio::time::timeout;
use tonic::{Request, Status, body::Body, client::Grpc};
use tonic_prost::ProstCodec;

use crate::{
    error::{Error, Result},
    mvcc::WatchSpec,
    record::{
        Delete, DeleteAnswer, Lease, LeaseId, LeaseStatus, Page, Put, PutAnswer, Query, Revision,
        Transaction, TransactionAnswer,
    },
    store::Store,
    tls::TlsFiles,
    wire::{self, Header, convert::seconds, status},
};
use call::Effect;
use connection::{Connections, Wire};
use noting::Refusal;
use pace::Pace;
use refusal::End;
use single::Messages;
pub use watch::EtcdWatch;

/// The largest page we take; it is far beyond what the page size lets come.
const ANSWER_BYTES_MAX: usize = 512 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdConfig {
    /// `https://name:port`, or `http://` without certificates.
    pub endpoints: Vec<String>,
    pub tls: Option<TlsFiles>,
    /// Addresses of names, asked before DNS.
    pub host_aliases: BTreeMap<String, Vec<IpAddr>>,
    /// Requests in a second, also in one burst.
    pub qps: u32,
    /// The same until `bootstrapped` is told.
    pub bootstrap_qps: u32,
    /// Requests that wait for their answer at once.
    pub inflight_max: usize,
    pub page_size: usize,
    pub keepalive_interval: Duration,
    pub keepalive_timeout: Duration,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
}

impl EtcdConfig {
    /// With the pace that Cilium's clients keep.
    pub fn new(endpoints: Vec<String>, tls: Option<TlsFiles>) -> EtcdConfig {
        EtcdConfig {
            endpoints,
            tls,
            host_aliases: BTreeMap::new(),
            qps: 20,
            bootstrap_qps: 10_000,
            inflight_max: 20,
            page_size: 256,
            keepalive_interval: Duration::from_secs(15),
            keepalive_timeout: Duration::from_secs(25),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Etcd {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: EtcdConfig,
    connections: Connections,
    pace: Pace,
    /// The id of the cluster that has answered, by which its revisions are meant.
    cluster: Mutex<Option<u64>>,
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdStatus {
    pub endpoint: String,
    pub version: String,
    pub cluster_id: u64,
    pub is_leader: bool,
    pub has_leader: bool,
    pub revision: Revision,
}

impl Etcd {
    /// Does not connect yet.
    pub fn new(config: EtcdConfig) -> Result<Etcd> {
        let connections = Connections::new(&config)?;
        let pace = Pace::new(config.bootstrap_qps, config.inflight_max);
        Ok(Etcd {
            inner: Arc::new(Inner {
                config,
                connections,
                pace,
                cluster: Mutex::new(None),
            }),
        })
    }

    /// The first lists are done: from now on with the ordinary pace.
    pub fn bootstrapped(&self) {
        self.inner.pace.set(self.inner.config.qps);
    }

    /// The id of the cluster that answers, once it has.
    pub fn cluster_id(&self) -> Option<u64> {
        *self.cluster()
    }

    /// After `ClusterChanged`: whichever cluster answers next is the right one. All that was read is to be read anew.
    pub fn forget_cluster(&self) {
        *self.cluster() = None;
    }

    fn cluster(&self) -> std::sync::MutexGuard<'_, Option<u64>> {
        let cluster = self.inner.cluster.lock();
        cluster.unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects now, and asks nothing.
    pub async fn connect(&self) -> Result<()> {
        self.inner.connections.get().await.map(drop)
    }

    pub async fn status(&self) -> Result<EtcdStatus> {
        const OPERATION: &str = "status";
        let path = "/etcdserverpb.Maintenance/Status";
        let response: wire::StatusResponse = self
            .call(Effect::None, OPERATION, path, wire::Empty {})
            .await?;
        let header = response.header.unwrap_or_default();
        Ok(EtcdStatus {
            endpoint: self.inner.connections.endpoint().unwrap_or_default(),
            version: response.version,
            cluster_id: header.cluster_id,
            is_leader: response.leader == header.member_id,
            has_leader: response.leader != 0,
            revision: Revision(header.revision),
        })
    }

    async fn grpc(&self, messages: Messages) -> Result<Grpc<Wire>> {
        let wire = self.inner.connections.get().await?;
        let wire = wire.carrying(messages);
        let origin = wire.origin();
        let mut grpc = Grpc::with_origin(wire, origin).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ready = grpc.ready().await;
        ready.map_err(|error| {
            self.refusal().unwrap_or_else(|| Error::Broken {
                endpoint: self.endpoint(),
                problem: error.to_string(),
            })
        })?;
        Ok(grpc)
    }

    fn failure(&self, operation: &'static str, status: &Status) -> Error {
        if let Some(error) = self.refusal() {
            return error;
        }
        let endpoint = self.endpoint();
        match refusal::of_status(status) {
            Some(End::Broken(problem)) => Error::Broken { endpoint, problem },
            Some(End::NotEtcd(problem)) => Error::NotEtcd { endpoint, problem },
            None => status::into_error(operation, status),
        }
    }

    /// What of the connection itself is the reason of its end.
    fn refusal(&self) -> Option<Error> {
        let endpoint = self.endpoint();
        Some(match self.inner.connections.refusal()? {
            Refusal::Denied(problem, hint) => Error::Handshake {
                endpoint,
                problem,
                hint,
            },
            Refusal::NotEtcd(problem) => Error::NotEtcd {
                endpoint,
                problem: problem.to_owned(),
            },
        })
    }

    fn endpoint(&self) -> String {
        self.inner.connections.endpoint().unwrap_or_default()
    }

    /// Behind one address may be several clusters, each with revisions of its own.
    fn check_cluster(&self, operation: &'static str, header: Option<&Header>) -> Result<()> {
        let Some(found) = header.map(|header| header.cluster_id) else {
            return Ok(());
        };
        let mut cluster = self.cluster();
        let expected = *cluster.get_or_insert(found);
        drop(cluster);
        if expected != found {
            self.inner.connections.drop_connection();
            return Err(Error::ClusterChanged {
                operation,
                expected,
                found,
            });
        }
        Ok(())
    }
}

impl Store for Etcd {
    type Watch = EtcdWatch;

    async fn query(&self, query: Query) -> Result<Page> {
        let request = wire::RangeRequest::from(query);
        let response: wire::RangeResponse = self
            .call(Effect::None, "range", "/etcdserverpb.KV/Range", request)
            .await?;
        Ok(response.into())
    }

    async fn put(&self, put: Put) -> Result<PutAnswer> {
        let request = wire::PutRequest::from(put);
        let response: wire::PutResponse = self
            .call(Effect::Some, "put", "/etcdserverpb.KV/Put", request)
            .await?;
        Ok(response.into())
    }

    async fn delete(&self, delete: Delete) -> Result<DeleteAnswer> {
        let request = wire::DeleteRangeRequest::from(delete);
        let path = "/etcdserverpb.KV/DeleteRange";
        let response: wire::DeleteRangeResponse =
            self.call(Effect::Some, "delete", path, request).await?;
        Ok(response.into())
    }

    async fn transact(&self, transaction: Transaction) -> Result<TransactionAnswer> {
        let request = wire::TxnRequest::from(transaction);
        let response: wire::TxnResponse = self
            .call(Effect::Some, "transaction", "/etcdserverpb.KV/Txn", request)
            .await?;
        Ok(response.into())
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        let request = wire::CompactionRequest {
            revision: revision.0,
            physical: false,
        };
        let _: wire::HeaderOnly = self
            .call(
                Effect::Some,
                "compaction",
                "/etcdserverpb.KV/Compact",
                request,
            )
            .await?;
        Ok(())
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease> {
        let request = wire::LeaseGrantRequest {
            ttl: seconds(ttl),
            id: 0,
        };
        let path = "/etcdserverpb.Lease/LeaseGrant";
        let response: wire::LeaseGrantResponse = self
            .call(Effect::Some, "grant a lease", path, request)
            .await?;
        Ok(Lease {
            id: LeaseId(response.id),
            ttl: duration(response.ttl),
        })
    }

    async fn renew(&self, lease: LeaseId) -> Result<Duration> {
        self.keep_alive(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        let request = wire::LeaseRequest { id: lease.0 };
        let path = "/etcdserverpb.Lease/LeaseRevoke";
        let _: wire::HeaderOnly = self
            .call(Effect::Some, "revoke a lease", path, request)
            .await?;
        Ok(())
    }

    async fn lease(&self, lease: LeaseId) -> Result<LeaseStatus> {
        let request = wire::LeaseTimeToLiveRequest {
            id: lease.0,
            keys: true,
        };
        let path = "/etcdserverpb.Lease/LeaseTimeToLive";
        let response: wire::LeaseTimeToLiveResponse = self
            .call(Effect::None, "look at a lease", path, request)
            .await?;
        if response.ttl < 0 {
            return Err(Error::LeaseNotFound { lease });
        }
        Ok(LeaseStatus {
            granted: duration(response.granted_ttl),
            remaining: duration(response.ttl),
            keys: response.keys,
        })
    }

    async fn watch(&self, spec: WatchSpec) -> Result<EtcdWatch> {
        EtcdWatch::begin(self.clone(), spec).await
    }

    fn page_size(&self) -> usize {
        self.inner.config.page_size
    }
}

impl Etcd {
    /// A stream for one question: leases are renewed seldom.
    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration> {
        const OPERATION: &str = "renew a lease";
        let _turn = self.inner.pace.turn().await;
        let mut grpc = self.grpc(Messages::Many).await?;
        let path = PathAndQuery::from_static("/etcdserverpb.Lease/LeaseKeepAlive");
        let codec = ProstCodec::<wire::LeaseRequest, wire::LeaseKeepAliveResponse>::default();
        let question = futures_util::stream::iter([wire::LeaseRequest { id: lease.0 }]);
        let call = async {
            let answers = grpc.streaming(Request::new(question), path, codec).await?;
            answers.into_inner().message().await
        };
        let after = self.inner.config.request_timeout;
        let answer = timeout(after, call).await.map_err(|_| Error::Timeout {
            operation: OPERATION,
            after,
        })?;
        let answer = answer.map_err(|status| self.failure(OPERATION, &status))?;
        let answer = answer.unwrap_or_default();
        self.check_cluster(OPERATION, answer.header.as_ref())?;
        if answer.ttl <= 0 {
            return Err(Error::LeaseNotFound { lease });
        }
        Ok(duration(answer.ttl))
    }
}

fn duration(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// A body of ours, as tonic makes them.
type Sender = hyper::client::conn::http2::SendRequest<Body>;
