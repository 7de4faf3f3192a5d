//! Values to bytes. Every integer takes its smallest form, as the framework writes it.

use crate::codec::Encode;
use crate::error::Result;
use crate::value::{Value, kind};

/// Writes fields one behind the other. Tags must rise within a structure; that is for the caller,
/// and [`crate::tars_struct!`] sees to it.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes a field.
    pub fn put<T: Encode + ?Sized>(&mut self, tag: u8, value: &T) {
        value.encode(self, tag);
    }

    fn head(&mut self, tag: u8, kind: u8) {
        if tag < 15 {
            self.bytes.push(tag << 4 | kind);
        } else {
            self.bytes.extend([15 << 4 | kind, tag]);
        }
    }

    /// An integer of any width.
    pub fn int(&mut self, tag: u8, value: i64) {
        if value == 0 {
            self.head(tag, kind::ZERO);
        } else if let Ok(v) = i8::try_from(value) {
            self.head(tag, kind::INT8);
            self.bytes.extend(v.to_be_bytes());
        } else if let Ok(v) = i16::try_from(value) {
            self.head(tag, kind::INT16);
            self.bytes.extend(v.to_be_bytes());
        } else if let Ok(v) = i32::try_from(value) {
            self.head(tag, kind::INT32);
            self.bytes.extend(v.to_be_bytes());
        } else {
            self.head(tag, kind::INT64);
            self.bytes.extend(value.to_be_bytes());
        }
    }

    /// A 4-byte floating-point number.
    pub fn float(&mut self, tag: u8, value: f32) {
        self.head(tag, kind::FLOAT);
        self.bytes.extend(value.to_be_bytes());
    }

    /// An 8-byte floating-point number.
    pub fn double(&mut self, tag: u8, value: f64) {
        self.head(tag, kind::DOUBLE);
        self.bytes.extend(value.to_be_bytes());
    }

    /// A text.
    pub fn text(&mut self, tag: u8, value: &[u8]) {
        match u8::try_from(value.len()) {
            Ok(length) => {
                self.head(tag, kind::STRING1);
                self.bytes.push(length);
            }
            Err(_) => {
                self.head(tag, kind::STRING4);
                // A frame that holds more than this cannot be made; see `to_frame`.
                let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
                self.bytes.extend(length.to_be_bytes());
            }
        }
        self.bytes.extend_from_slice(value);
    }

    /// A byte array.
    pub fn byte_array(&mut self, tag: u8, value: &[u8]) {
        self.head(tag, kind::BYTES);
        self.head(0, kind::INT8);
        self.length(value.len());
        self.bytes.extend_from_slice(value);
    }

    fn length(&mut self, length: usize) {
        self.int(0, i64::try_from(length).unwrap_or(i64::MAX));
    }

    /// The head of a list; `count` elements with tag 0 must follow.
    pub fn list(&mut self, tag: u8, count: usize) {
        self.head(tag, kind::LIST);
        self.length(count);
    }

    /// The head of a map; `count` keys with tag 0 must follow, each with its value with tag 1.
    pub fn map(&mut self, tag: u8, count: usize) {
        self.head(tag, kind::MAP);
        self.length(count);
    }

    /// A structure, whose fields `body` writes.
    pub fn structure(&mut self, tag: u8, body: impl FnOnce(&mut Self)) {
        self.head(tag, kind::STRUCT_BEGIN);
        body(self);
        self.head(0, kind::STRUCT_END);
    }

    /// A value as it was read.
    ///
    /// # Errors
    /// None for a view that was made: it is well-formed.
    pub fn value(&mut self, tag: u8, value: Value<'_>) -> Result<()> {
        match value {
            Value::Int(v) => self.int(tag, v),
            Value::Float(v) => self.float(tag, v),
            Value::Double(v) => self.double(tag, v),
            Value::Text(v) => self.text(tag, v),
            Value::Bytes(v) => self.byte_array(tag, v),
            Value::List(mut list) => {
                self.list(tag, list.len());
                while let Some(element) = list.advance()? {
                    self.value(0, element)?;
                }
            }
            Value::Map(mut map) => {
                self.map(tag, map.len());
                while let Some((key, value)) = map.advance()? {
                    self.value(0, key)?;
                    self.value(1, value)?;
                }
            }
            Value::Struct(mut fields) => {
                self.head(tag, kind::STRUCT_BEGIN);
                while let Some((tag, value)) = fields.advance()? {
                    self.value(tag, value)?;
                }
                self.head(0, kind::STRUCT_END);
            }
        }
        Ok(())
    }
}
