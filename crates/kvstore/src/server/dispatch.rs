//! From the path of a request to the function that answers it.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use futures_util::Stream;
use hyper::{Request, Response, body::Incoming};
use prost::Message;
use tonic::{
    Code, Status, Streaming,
    body::Body,
    server::{Grpc, StreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

use super::{Service, lease::KeepAlives, watch::Session};
use crate::{error::Result, wire::status};

/// The largest request by etcd's measure, and room for what is around it.
pub const REQUEST_BYTES_MAX: usize = 3 << 19;
const MESSAGE_BYTES_MAX: usize = REQUEST_BYTES_MAX + (512 << 10);

pub type User = Option<Arc<str>>;

pub async fn answer(
    service: Arc<Service>,
    user: User,
    request: Request<Incoming>,
) -> Response<Body> {
    let name = request.uri().path().strip_prefix("/etcdserverpb.");
    let name = name.unwrap_or_default().to_owned();
    let user = user.as_deref();
    match name.as_str() {
        "KV/Range" => unary(request, |message| service.range(user, message)).await,
        "KV/Put" => unary(request, |message| service.put(user, message)).await,
        "KV/DeleteRange" => unary(request, |message| service.delete_range(user, message)).await,
        "KV/Txn" => unary(request, |message| service.txn(user, message)).await,
        "KV/Compact" => unary(request, |message| service.compact(user, message)).await,
        "Lease/LeaseGrant" => unary(request, |message| service.lease_grant(user, message)).await,
        "Lease/LeaseRevoke" => unary(request, |message| service.lease_revoke(user, message)).await,
        "Lease/LeaseTimeToLive" => {
            unary(request, |message| service.lease_time_to_live(user, message)).await
        }
        "Lease/LeaseLeases" => unary(request, |message| service.lease_leases(user, message)).await,
        "Cluster/MemberList" => unary(request, |message| service.member_list(user, message)).await,
        "Maintenance/Alarm" => unary(request, |message| service.alarm(user, message)).await,
        "Maintenance/Status" => unary(request, |message| service.status(user, message)).await,
        "Maintenance/Defragment" => {
            unary(request, |message| service.defragment(user, message)).await
        }
        "Auth/AuthStatus" => unary(request, |message| service.auth_status(user, message)).await,
        "Lease/LeaseKeepAlive" => {
            let open = |requests| {
                let user = user.map(Arc::from);
                KeepAlives::new(Arc::clone(&service), user, requests).into_stream()
            };
            streaming(request, open).await
        }
        "Watch/Watch" => {
            let open = |requests| {
                let user = user.map(Arc::from);
                Session::new(Arc::clone(&service), user, requests).into_stream()
            };
            streaming(request, open).await
        }
        _ => Status::new(
            Code::Unimplemented,
            format!("{name} is not offered by a store that is alone and in memory"),
        )
        .into_http(),
    }
}

struct Unary<F>(F);

impl<A, B, F: FnMut(A) -> Result<B>> UnaryService<A> for Unary<F> {
    type Response = B;
    type Future = Ready<Result<tonic::Response<B>, Status>>;

    fn call(&mut self, request: tonic::Request<A>) -> Self::Future {
        let answer = (self.0)(request.into_inner());
        ready(match answer {
            Ok(message) => Ok(tonic::Response::new(message)),
            Err(error) => Err(status::from_error(&error)),
        })
    }
}

async fn unary<A, B>(request: Request<Incoming>, call: impl FnMut(A) -> Result<B>) -> Response<Body>
where
    A: Message + Default + 'static,
    B: Message + 'static,
{
    let mut grpc =
        Grpc::new(ProstCodec::<B, A>::new()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    grpc.unary(Unary(call), request).await
}

struct Bidirectional<F>(F);

impl<A, B, S, F> StreamingService<A> for Bidirectional<F>
where
    S: Stream<Item = Result<B, Status>>,
    F: FnMut(Streaming<A>) -> S,
{
    type Response = B;
    type ResponseStream = S;
    type Future = Ready<Result<tonic::Response<S>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<A>>) -> Self::Future {
        ready(Ok(tonic::Response::new((self.0)(request.into_inner()))))
    }
}

async fn streaming<A, B, S>(
    request: Request<Incoming>,
    open: impl FnMut(Streaming<A>) -> S + Send,
) -> Response<Body>
where
    A: Message + Default + 'static,
    B: Message + 'static,
    S: Stream<Item = Result<B, Status>> + Send + 'static,
{
    let mut grpc =
        Grpc::new(ProstCodec::<B, A>::new()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    grpc.streaming(Bidirectional(open), request).await
}
