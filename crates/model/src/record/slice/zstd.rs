//! One zstd frame, and no more memory for it than it may take.

use crate::record::RecordError;
use ruzstd::{
    decoding::{BlockDecodingStrategy, FrameDecoder},
    encoding::{CompressionLevel, compress_to_vec},
};

const WINDOW_MAX: u64 = 16 << 20;
const CONTENT_LEN_MAX: usize = 16 << 20;

pub(super) fn compress(content: &[u8]) -> Vec<u8> {
    compress_to_vec(content, CompressionLevel::Fastest)
}

pub(super) fn decompress(frame: &[u8]) -> Result<Vec<u8>, RecordError> {
    let mut rest = frame;
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW_MAX);
    decoder.init(&mut rest).map_err(RecordError::malformed)?;
    let mut content = Vec::new();
    loop {
        let part = BlockDecodingStrategy::UptoBytes(1 << 20);
        decoder
            .decode_blocks(&mut rest, part)
            .map_err(RecordError::malformed)?;
        content.extend(decoder.collect().unwrap_or_default());
        // What is not collected yet is at most a window.
        if content.len() + decoder.can_collect() > CONTENT_LEN_MAX {
            return Err(RecordError::TooLong {
                len: content.len(),
                max: CONTENT_LEN_MAX,
            });
        }
        if decoder.is_finished() {
            break;
        }
    }
    if let Some(sum) = decoder.get_checksum_from_data()
        && decoder.get_calculated_checksum() != Some(sum)
    {
        return Err(RecordError::malformed("its checksum is wrong"));
    }
    if !rest.is_empty() {
        return Err(RecordError::malformed("bytes follow its end"));
    }
    Ok(content)
}
