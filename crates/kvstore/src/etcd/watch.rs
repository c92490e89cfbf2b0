//! A watch on an etcd, on a stream of its own.

use futures_util::{FutureExt as _, StreamExt as _};
use hyper::http::uri::PathAndQuery;
use tokio::time::timeout;
use tonic::{
    Request, Streaming,
    codec::{BufferSettings, Codec},
    metadata::MetadataValue,
};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use super::{Etcd, single::Messages};
use crate::{
    error::{Error, Result},
    mvcc::WatchSpec,
    record::{Change, Revision},
    store::Watch,
    wire::{self, WatchVerb, status::DENIED},
};

const OPERATION: &str = "watch";
/// Batches are put together until they have so many changes.
const BATCH_MAX: usize = 1000;

/// As tonic's, but with small buffers, which grow when they must: watches are many, and by most of them little comes.
struct WatchCodec;

type Prost = ProstCodec<wire::WatchRequest, wire::WatchResponse>;

fn buffers() -> BufferSettings {
    BufferSettings::new(512, 32 << 10)
}

impl Codec for WatchCodec {
    type Encode = wire::WatchRequest;
    type Decode = wire::WatchResponse;
    type Encoder = ProstEncoder<wire::WatchRequest>;
    type Decoder = ProstDecoder<wire::WatchResponse>;

    fn encoder(&mut self) -> Self::Encoder {
        Prost::raw_encoder(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        Prost::raw_decoder(buffers())
    }
}

#[derive(Debug)]
pub struct EtcdWatch {
    etcd: Etcd,
    responses: Streaming<wire::WatchResponse>,
    /// Parts of a batch whose end has not come yet.
    parts: Vec<Change>,
    /// What ended it, if changes came before.
    end: Option<Error>,
}

impl EtcdWatch {
    pub(super) async fn begin(etcd: Etcd, spec: WatchSpec) -> Result<EtcdWatch> {
        let _turn = etcd.inner.pace.turn().await;
        let mut grpc = etcd.grpc(Messages::Many).await?;
        let create = wire::WatchRequest {
            verb: Some(WatchVerb::Create(spec.into())),
        };
        // The stream stays open on our side: its end would end the watch.
        let requests = futures_util::stream::iter([create]).chain(futures_util::stream::pending());
        let mut request = Request::new(requests);
        // A member that has lost the others ends the watch, instead of being silent for ever.
        let leader = MetadataValue::from_static("true");
        request.metadata_mut().insert("hasleader", leader);
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let after = etcd.inner.config.request_timeout;
        let begun = async {
            let responses = grpc.streaming(request, path, WatchCodec).await;
            let responses = responses.map_err(|status| etcd.failure(OPERATION, &status))?;
            let mut watch = EtcdWatch {
                etcd: etcd.clone(),
                responses: responses.into_inner(),
                parts: Vec::new(),
                end: None,
            };
            let created = watch.response().await?;
            watch.check(&created)?;
            Ok(watch)
        };
        timeout(after, begun).await.unwrap_or(Err(Error::Timeout {
            operation: OPERATION,
            after,
        }))
    }

    async fn response(&mut self) -> Result<wire::WatchResponse> {
        let answer = self.responses.message().await;
        let answer = answer.map_err(|status| self.etcd.failure(OPERATION, &status))?;
        let response = answer.ok_or(Error::Answer {
            operation: OPERATION,
            message: "the stream has ended".to_owned(),
            temporary: true,
        })?;
        self.etcd
            .check_cluster(OPERATION, response.header.as_ref())?;
        Ok(response)
    }

    fn check(&self, response: &wire::WatchResponse) -> Result<()> {
        if response.compact_revision > 0 {
            return Err(Error::Compacted {
                oldest: Revision(response.compact_revision),
            });
        }
        if response.canceled && response.cancel_reason.ends_with(DENIED) {
            return Err(Error::Denied);
        }
        if response.canceled {
            let status = tonic::Status::unknown(response.cancel_reason.clone());
            return Err(self.etcd.failure(OPERATION, &status));
        }
        Ok(())
    }

    /// The changes of the next response, if they are whole revisions.
    async fn batch(&mut self) -> Result<Option<Vec<Change>>> {
        let response = self.response().await?;
        self.check(&response)?;
        let changes = response.events.into_iter().map(Change::from);
        self.parts.extend(changes);
        let whole = !response.fragment && !self.parts.is_empty();
        Ok(whole.then(|| std::mem::take(&mut self.parts)))
    }
}

impl Watch for EtcdWatch {
    async fn next(&mut self) -> Result<Vec<Change>> {
        if let Some(end) = self.end.take() {
            return Err(end);
        }
        let mut changes = loop {
            if let Some(batch) = self.batch().await? {
                break batch;
            }
        };
        // What is here already goes with it: who listens has work with each batch.
        while changes.len() < BATCH_MAX
            && let Some(more) = self.batch().now_or_never()
        {
            match more {
                Ok(more) => changes.extend(more.into_iter().flatten()),
                Err(error) => {
                    self.end = Some(error);
                    break;
                }
            }
        }
        Ok(changes)
    }
}
