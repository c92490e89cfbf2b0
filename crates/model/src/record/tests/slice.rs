use super::{bad::mutate, *};
use crate::random::Random;

const KEY: &str = "endpointslices/v1/cluster1/shop/web-1";

#[test]
fn what_is_written_is_read_the_same() {
    let slice = endpoint_slice();
    let record = read(&peer(), KEY, &slice.encode()).unwrap();
    assert_eq!(record, Record::EndpointSlice(Box::new(slice)));
}

#[test]
fn fields_have_the_numbers_of_the_format() {
    let slice = EndpointSlice {
        cluster: "c".into(),
        cluster_id: 300,
        namespace: "s".into(),
        name: "n".into(),
        labels: [("k".to_owned(), "v".to_owned())].into(),
        annotations: Default::default(),
        family: Family::V6,
        endpoints: vec![Endpoint {
            addresses: vec!["::1".parse().unwrap()],
            conditions: Conditions {
                ready: Some(true),
                serving: None,
                terminating: Some(false),
            },
            hints: Some(vec!["z".into()]),
            ..Endpoint::default()
        }],
        ports: vec![EndpointPort {
            port: Some(300),
            ..EndpointPort::default()
        }],
    };
    let message: &[u8] =
        b"\x0a\x01c\x10\xac\x02\x1a\x01s\x22\x01n\x2a\x06\x0a\x01k\x12\x01v\x3a\x04IPv6\
        \x42\x12\x0a\x03::1\x12\x04\x08\x01\x18\x00\x42\x05\x0a\x03\x0a\x01z\x4a\x03\x18\xac\x02";
    assert_eq!(EndpointSlice::decode(&raw_frame(message)).unwrap(), slice);
    assert_eq!(EndpointSlice::decode(&slice.encode()).unwrap(), slice);
    // Unknown fields of each kind are passed over.
    let more = [
        message,
        b"\x78\x05\x7a\x02xy\x7d1234\x79\x31\x32\x33\x34\x35\x36\x37\x38",
    ]
    .concat();
    assert_eq!(EndpointSlice::decode(&raw_frame(&more)).unwrap(), slice);
}

/// A frame of one block that is not compressed.
fn raw_frame(content: &[u8]) -> Vec<u8> {
    frame(&[((content.len() as u32) << 3 | 1, content)])
}

/// Blocks by their heads and bodies, in a window of 128 KiB.
fn frame(blocks: &[(u32, &[u8])]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3];
    for (head, body) in blocks {
        frame.extend_from_slice(&head.to_le_bytes()[..3]);
        frame.extend_from_slice(body);
    }
    frame
}

#[test]
fn slices_that_disagree_are_refused() {
    type Change = fn(&mut EndpointSlice);
    let table: [(Change, &str); 8] = [
        (|_| {}, ""),
        (|slice| slice.cluster = "cluster2".into(), "cluster-name"),
        (|slice| slice.cluster.clear(), "missing"),
        (|slice| slice.cluster_id = 2, "cluster-id"),
        (|slice| slice.namespace.clear(), "missing"),
        (|slice| slice.name = "web-2".into(), "key-disagrees"),
        (|slice| slice.family = Family::V6, "address-family"),
        (
            |slice| slice.endpoints = vec![Endpoint::default(); 1001],
            "too-many",
        ),
    ];
    for (change, label) in table {
        let mut slice = endpoint_slice();
        change(&mut slice);
        let read = read(&peer(), KEY, &slice.encode());
        assert_eq!(
            read.as_ref().err().map_or("", RecordError::label),
            label,
            "{read:?}"
        );
    }
}

#[test]
fn frames_of_other_writers_are_read() {
    // `zstd --check` of a sentence that is not a slice.
    const FRAME: &[u8] = &[
        0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x2f, 0x65, 0x00, 0x00, 0x30, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
        0x20, 0x01, 0x00, 0x02, 0x95, 0x22, 0x5a, 0xb1, 0x76, 0x1b,
    ];
    let error = EndpointSlice::decode(FRAME).unwrap_err();
    assert_eq!(
        error.to_string(),
        "its value can't be read: it is not a protocol buffer"
    );
    let mut wrong = FRAME.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    let error = EndpointSlice::decode(&wrong).unwrap_err();
    assert_eq!(
        error.to_string(),
        "its value can't be read: its checksum is wrong"
    );
    let error = EndpointSlice::decode(&[FRAME, b"x"].concat()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "its value can't be read: bytes follow its end"
    );
}

#[test]
fn small_frames_do_not_become_large_memory() {
    // 130 blocks of 128 KiB, each of one byte repeated.
    let block: (u32, &[u8]) = (128 << 10 << 3 | 1 << 1, b"\0");
    let mut blocks = vec![block; 130];
    blocks.push((1, b""));
    let error = EndpointSlice::decode(&frame(&blocks)).unwrap_err();
    assert_eq!(error.label(), "too-long");
    // A window of 32 MiB.
    let mut wide = raw_frame(b"");
    wide[5] = 15 << 3;
    assert_eq!(
        EndpointSlice::decode(&wide).unwrap_err().label(),
        "malformed"
    );
}

#[test]
fn mutated_slices_never_panic() {
    let encoded = endpoint_slice().encode();
    let message = raw_message();
    for seed in 0..20_000 {
        let random = &mut Random::new(seed);
        let mut bytes = if random.one_in(2) {
            encoded.clone()
        } else {
            message.clone()
        };
        mutate(random, &mut bytes);
        if random.one_in(2) {
            drop(EndpointSlice::decode(&bytes));
        } else {
            drop(EndpointSlice::decode(&raw_frame(&bytes)));
        }
    }
}

/// The message of the slice, without its frame.
fn raw_message() -> Vec<u8> {
    let mut rest: &[u8] = &endpoint_slice().encode();
    let mut decoder = ruzstd::decoding::FrameDecoder::new();
    decoder.init(&mut rest).unwrap();
    decoder
        .decode_blocks(&mut rest, ruzstd::decoding::BlockDecodingStrategy::All)
        .unwrap();
    decoder.collect().unwrap()
}
