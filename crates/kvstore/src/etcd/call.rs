//! One question and its answer. What finds its connection at an end goes by a new one, if it has not left yet or changes
//! nothing.

use hyper::http::uri::PathAndQuery;
use prost::Message;
use tokio::time::timeout;
use tonic::Request;
use tonic_prost::ProstCodec;

use super::{Etcd, refusal, single::Messages};
use crate::{
    error::{Error, Result},
    wire::Headed,
};

/// How often what may go by another connection does: once for its end, once for what goes by it before that end is known.
const AGAIN_MAX: usize = 2;

/// What a request changes in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Some,
}

impl Etcd {
    pub(super) async fn call<A, B>(
        &self,
        effect: Effect,
        operation: &'static str,
        path: &'static str,
        message: A,
    ) -> Result<B>
    where
        A: Message + Clone + 'static,
        B: Message + Default + Headed + 'static,
    {
        let _turn = self.inner.pace.turn().await;
        let asked = async {
            let mut again = AGAIN_MAX;
            loop {
                let (error, unsent) = match self.grpc(Messages::One).await {
                    Ok(mut grpc) => {
                        let codec = ProstCodec::<A, B>::default();
                        let (request, path) = (
                            Request::new(message.clone()),
                            PathAndQuery::from_static(path),
                        );
                        match grpc.unary(request, path, codec).await {
                            Ok(answer) => return Ok(answer.into_inner()),
                            Err(status) => (
                                self.failure(operation, &status),
                                refusal::is_unsent(&status),
                            ),
                        }
                    }
                    Err(error) => (error, true),
                };
                let harmless = unsent || effect == Effect::None;
                if again == 0 || !harmless || !matches!(error, Error::Broken { .. }) {
                    return Err(error);
                }
                again -= 1;
            }
        };
        let after = self.inner.config.request_timeout;
        let answer = timeout(after, asked).await;
        let answer: B = answer.unwrap_or(Err(Error::Timeout { operation, after }))?;
        self.check_cluster(operation, answer.header())?;
        Ok(answer)
    }
}
