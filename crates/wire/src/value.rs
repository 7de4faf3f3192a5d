//! Values as views into the bytes that hold them.
//!
//! Nothing is copied and nothing is allocated: a list, a map or a structure is the slice of bytes
//! that it spans, and is read as one walks over it. A view that was made is known to be well-formed
//! down to its last byte.

use crate::error::{Result, WireError};

/// How deep structures, lists and maps may are in each other. The framework's own interfaces need
/// five.
pub const MAX_DEPTH: usize = 32;

/// Type numbers (TarsCpp `servant/servant/tup/Tars.h`).
pub(crate) mod kind {
    pub(crate) const INT8: u8 = 0;
    pub(crate) const INT16: u8 = 1;
    pub(crate) const INT32: u8 = 2;
    pub(crate) const INT64: u8 = 3;
    pub(crate) const FLOAT: u8 = 4;
    pub(crate) const DOUBLE: u8 = 5;
    pub(crate) const STRING1: u8 = 6;
    pub(crate) const STRING4: u8 = 7;
    pub(crate) const MAP: u8 = 8;
    pub(crate) const LIST: u8 = 9;
    pub(crate) const STRUCT_BEGIN: u8 = 10;
    pub(crate) const STRUCT_END: u8 = 11;
    pub(crate) const ZERO: u8 = 12;
    pub(crate) const BYTES: u8 = 13;
}

/// A value. Integers of every width are one kind: the protocol writes each in its smallest form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// An integer, or a zero of any number type.
    Int(i64),
    /// A 4-byte floating-point number.
    Float(f32),
    /// An 8-byte floating-point number.
    Double(f64),
    /// A text, which the protocol does not promise to be UTF-8.
    Text(&'a [u8]),
    /// A byte array.
    Bytes(&'a [u8]),
    /// A list.
    List(List<'a>),
    /// A map.
    Map(Map<'a>),
    /// A structure.
    Struct(Fields<'a>),
}

impl Value<'_> {
    /// What it is, in words.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Double(_) => "a double",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "a byte array",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Struct(_) => "a structure",
        }
    }
}

/// A place in bytes.
#[derive(Debug, Clone, Copy)]
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8]> {
        if n > self.rest.len() {
            return Err(WireError::Truncated { what });
        }
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, what)?);
        Ok(out)
    }

    /// Tag and type.
    fn head(&mut self) -> Result<(u8, u8)> {
        let [b] = self.array("a field's head")?;
        let tag = match b >> 4 {
            15 => self.array::<1>("a field's head")?[0],
            small => small,
        };
        Ok((tag, b & 15))
    }

    fn integer(&mut self, kind: u8) -> Result<Option<i64>> {
        const WHAT: &str = "a number";
        Ok(Some(match kind {
            kind::ZERO => 0,
            kind::INT8 => i64::from(i8::from_be_bytes(self.array(WHAT)?)),
            kind::INT16 => i64::from(i16::from_be_bytes(self.array(WHAT)?)),
            kind::INT32 => i64::from(i32::from_be_bytes(self.array(WHAT)?)),
            kind::INT64 => i64::from_be_bytes(self.array(WHAT)?),
            _ => return Ok(None),
        }))
    }

    /// A length or a count, which is itself a field.
    fn length(&mut self, what: &'static str) -> Result<usize> {
        let (tag, kind) = self.head()?;
        let length = self.integer(kind)?.ok_or(WireError::Mismatch {
            tag,
            found: "no number",
            wanted: "a length",
        })?;
        usize::try_from(length).map_err(|_| WireError::BadLength { what, length })
    }

    /// The value of a field whose head was read. `depth` counts what it is in.
    fn value(&mut self, kind: u8, depth: usize) -> Result<Value<'a>> {
        if let Some(number) = self.integer(kind)? {
            return Ok(Value::Int(number));
        }
        Ok(match kind {
            kind::FLOAT => Value::Float(f32::from_be_bytes(self.array("a number")?)),
            kind::DOUBLE => Value::Double(f64::from_be_bytes(self.array("a number")?)),
            kind::STRING1 => {
                let [length] = self.array("a text")?;
                Value::Text(self.take(usize::from(length), "a text")?)
            }
            kind::STRING4 => {
                let length = u32::from_be_bytes(self.array("a text")?);
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                Value::Text(self.take(length, "a text")?)
            }
            kind::BYTES => {
                let (tag, element) = self.head()?;
                if element != kind::INT8 {
                    return Err(WireError::Mismatch {
                        tag,
                        found: "another type",
                        wanted: "the type of a byte array's elements",
                    });
                }
                let length = self.length("a byte array")?;
                Value::Bytes(self.take(length, "a byte array")?)
            }
            kind::LIST => {
                let count = self.length("a list")?;
                let body = self.span(depth, |c, depth| c.skip_all(count, depth))?;
                Value::List(List { count, rest: body })
            }
            kind::MAP => {
                let count = self.length("a map")?;
                let body =
                    self.span(depth, |c, depth| c.skip_all(count.saturating_mul(2), depth))?;
                Value::Map(Map { count, rest: body })
            }
            kind::STRUCT_BEGIN => {
                let body = self.span(depth, Self::skip_to_end)?;
                // The end's own head is no field.
                let fields = body.strip_suffix(&[kind::STRUCT_END]).unwrap_or(body);
                Value::Struct(Fields { rest: fields })
            }
            kind::STRUCT_END => return Err(WireError::StrayEnd),
            other => return Err(WireError::UnknownType(other)),
        })
    }

    /// The bytes over which `walk` goes.
    fn span(
        &mut self,
        depth: usize,
        walk: impl FnOnce(&mut Self, usize) -> Result<()>,
    ) -> Result<&'a [u8]> {
        if depth >= MAX_DEPTH {
            return Err(WireError::TooDeep(MAX_DEPTH));
        }
        let from = self.rest;
        walk(self, depth + 1)?;
        Ok(&from[..from.len() - self.rest.len()])
    }

    /// Each element takes a byte at least, so a claimed count ends with the bytes.
    fn skip_all(&mut self, count: usize, depth: usize) -> Result<()> {
        for _ in 0..count {
            let (_, kind) = self.head()?;
            self.skip(kind, depth)?;
        }
        Ok(())
    }

    fn skip_to_end(&mut self, depth: usize) -> Result<()> {
        loop {
            let (tag, kind) = self.head()?;
            if kind == kind::STRUCT_END {
                // Written by everybody with tag 0, and only so is it one byte.
                return if tag == 0 {
                    Ok(())
                } else {
                    Err(WireError::StrayEnd)
                };
            }
            self.skip(kind, depth)?;
        }
    }

    /// As [`Self::value`], for nobody: each byte is looked at once, however deep it lies.
    fn skip(&mut self, kind: u8, depth: usize) -> Result<()> {
        match kind {
            kind::LIST | kind::MAP | kind::STRUCT_BEGIN if depth >= MAX_DEPTH => {
                Err(WireError::TooDeep(MAX_DEPTH))
            }
            kind::LIST => {
                let count = self.length("a list")?;
                self.skip_all(count, depth + 1)
            }
            kind::MAP => {
                let count = self.length("a map")?;
                self.skip_all(count.saturating_mul(2), depth + 1)
            }
            kind::STRUCT_BEGIN => self.skip_to_end(depth + 1),
            _ => self.value(kind, depth).map(drop),
        }
    }
}

/// The fields of a structure, or of a packet, in the order of their tags.
///
/// Reading goes forward only, as it does in the framework: fields with smaller tags than the one
/// that is asked for are skipped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields that `bytes` hold, to their end.
    ///
    /// # Errors
    /// Where the bytes are not well-formed.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let mut cursor = Cursor { rest: bytes };
        while !cursor.rest.is_empty() {
            let (_, kind) = cursor.head()?;
            cursor.skip(kind, 0)?;
        }
        Ok(Self { rest: bytes })
    }

    /// The field with `tag`, if it comes before one with a greater tag.
    ///
    /// # Errors
    /// None for a view that was made: it is well-formed.
    pub fn find(&mut self, tag: u8) -> Result<Option<Value<'a>>> {
        loop {
            let mut cursor = Cursor { rest: self.rest };
            if cursor.rest.is_empty() {
                return Ok(None);
            }
            let (found, kind) = cursor.head()?;
            if found > tag {
                return Ok(None);
            }
            let value = cursor.value(kind, 0)?;
            self.rest = cursor.rest;
            if found == tag {
                return Ok(Some(value));
            }
        }
    }

    /// The next field, whatever its tag; none at the end.
    ///
    /// # Errors
    /// None for a view that was made: it is well-formed.
    pub fn advance(&mut self) -> Result<Option<(u8, Value<'a>)>> {
        let mut cursor = Cursor { rest: self.rest };
        if cursor.rest.is_empty() {
            return Ok(None);
        }
        let (tag, kind) = cursor.head()?;
        let value = cursor.value(kind, 0)?;
        self.rest = cursor.rest;
        Ok(Some((tag, value)))
    }
}

/// The elements of a list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct List<'a> {
    count: usize,
    rest: &'a [u8],
}

impl<'a> List<'a> {
    /// Bytes that what is left takes on the wire, at most.
    pub(crate) const fn size(&self) -> usize {
        self.rest.len()
    }

    /// How many elements are left. Each of them was seen.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether none is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The next element.
    ///
    /// # Errors
    /// None for a view that was made: it is well-formed.
    pub fn advance(&mut self) -> Result<Option<Value<'a>>> {
        if self.count == 0 {
            return Ok(None);
        }
        let mut cursor = Cursor { rest: self.rest };
        let (_, kind) = cursor.head()?;
        let value = cursor.value(kind, 0)?;
        *self = Self {
            count: self.count - 1,
            rest: cursor.rest,
        };
        Ok(Some(value))
    }
}

/// The entries of a map, in the order in which they were written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Map<'a> {
    count: usize,
    rest: &'a [u8],
}

impl<'a> Map<'a> {
    /// Bytes that what is left takes on the wire, at most.
    pub(crate) const fn size(&self) -> usize {
        self.rest.len()
    }

    /// How many entries are left. Each of them was seen.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether none is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The next key and value.
    ///
    /// # Errors
    /// None for a view that was made: it is well-formed.
    pub fn advance(&mut self) -> Result<Option<(Value<'a>, Value<'a>)>> {
        if self.count == 0 {
            return Ok(None);
        }
        let mut cursor = Cursor { rest: self.rest };
        let (_, kind) = cursor.head()?;
        let key = cursor.value(kind, 0)?;
        let (_, kind) = cursor.head()?;
        let value = cursor.value(kind, 0)?;
        *self = Self {
            count: self.count - 1,
            rest: cursor.rest,
        };
        Ok(Some((key, value)))
    }
}
