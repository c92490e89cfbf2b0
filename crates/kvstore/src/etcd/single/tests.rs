use std::{
    pin::Pin,
    task::{Context, Waker},
};

use bytes::Bytes;
use hyper::body::{Body as _, Frame};
use tonic::{Status, body::Body};

struct Frames(Vec<&'static [u8]>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Status>>> {
        let next = (!self.0.is_empty()).then(|| self.0.remove(0));
        std::task::Poll::Ready(next.map(|data| Ok(Frame::data(Bytes::from_static(data)))))
    }
}

#[test]
fn its_end_comes_with_the_last_byte_of_the_message() {
    let cases: [(&[&'static [u8]], &[bool]); 4] = [
        (&[b"\0\0\0\0\x03abc"], &[true]),
        (&[b"\0\0\0\0\0"], &[true]),
        (&[b"\0\0\0\0\x03ab", b"c"], &[false, true]),
        (&[b"\0\0\0\0\x03", b"ab", b"c"], &[false, false, true]),
    ];
    for (frames, ends) in cases {
        let mut body = super::body(Body::new(Frames(frames.to_vec())));
        assert!(!body.is_end_stream(), "{frames:?}");
        let mut context = Context::from_waker(Waker::noop());
        for (frame, end) in frames.iter().zip(ends) {
            let polled = Pin::new(&mut body).poll_frame(&mut context);
            let std::task::Poll::Ready(Some(Ok(polled))) = polled else {
                panic!("{frames:?} end early");
            };
            assert_eq!(polled.data_ref().map(|data| &data[..]), Some(*frame));
            assert_eq!(body.is_end_stream(), *end, "{frames:?}");
        }
    }
}
