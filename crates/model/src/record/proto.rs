//! Protocol buffers' encoding, as little of it as endpoint slices need.
//!
//! Written out because a library counts nothing while it decodes: two bytes of message become a hundred of memory.

use super::RecordError;

pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of fixed length, which no field that we know has.
    Fixed,
}

/// The fields of a message in the order in which they were written.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or_else(|| {
            self.0 = &[];
            RecordError::malformed("it is not a protocol buffer")
        });
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let tag = u32::try_from(self.varint()?).ok()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        (tag >> 3 != 0).then_some((tag >> 3, value))
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

impl<'a> Value<'a> {
    pub(super) fn number(self) -> Result<u64, RecordError> {
        match self {
            Value::Number(number) => Ok(number),
            _ => Err(RecordError::malformed("a field is not a number")),
        }
    }

    pub(super) fn flag(self) -> Result<bool, RecordError> {
        Ok(self.number()? != 0)
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], RecordError> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(RecordError::malformed("a field has no length")),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.bytes()?).map_err(RecordError::malformed)
    }

    pub(super) fn fields(self) -> Result<Fields<'a>, RecordError> {
        Ok(Fields(self.bytes()?))
    }
}

/// A message that is being written.
#[derive(Default)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    pub(super) fn number(&mut self, field: u32, number: u64) {
        self.varint(u64::from(field << 3));
        self.varint(number);
    }

    pub(super) fn flag(&mut self, field: u32, flag: Option<bool>) {
        if let Some(flag) = flag {
            self.number(field, u64::from(flag));
        }
    }

    pub(super) fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    pub(super) fn text_if_some(&mut self, field: u32, text: Option<&String>) {
        if let Some(text) = text {
            self.text(field, text);
        }
    }

    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        let mut message = Message::default();
        write(&mut message);
        self.bytes(field, &message.0);
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field << 3 | 2));
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}
