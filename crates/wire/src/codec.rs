//! Rust types to and from values.

use crate::error::{Result, WireError};
use crate::value::{List, Map, Value};
use crate::writer::Writer;

/// What can be written as a field.
pub trait Encode {
    /// Writes it with its head.
    fn encode(&self, writer: &mut Writer, tag: u8);
}

/// What can be read from a value. `tag` is only for messages.
pub trait Decode: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// [`WireError::Mismatch`], [`WireError::OutOfRange`] and [`WireError::NotUtf8`].
    fn decode(value: Value<'_>, tag: u8) -> Result<Self>;
}

fn mismatch<T>(value: &Value<'_>, tag: u8, wanted: &'static str) -> Result<T> {
    Err(WireError::Mismatch {
        tag,
        found: value.name(),
        wanted,
    })
}

macro_rules! integers {
    ($($type:ty, $name:literal;)*) => {$(
        impl Encode for $type {
            fn encode(&self, writer: &mut Writer, tag: u8) {
                writer.int(tag, i64::from(*self));
            }
        }

        impl Decode for $type {
            fn decode(value: Value<'_>, tag: u8) -> Result<Self> {
                let Value::Int(number) = value else {
                    return mismatch(&value, tag, $name);
                };
                Self::try_from(number).map_err(|_| WireError::OutOfRange {
                    tag,
                    value: number,
                    wanted: $name,
                })
            }
        }
    )*};
}

// An unsigned type is written as the next wider signed one, so `u64` does not exist.
integers! {
    i8, "an 8-bit integer";
    i16, "a 16-bit integer";
    i32, "a 32-bit integer";
    i64, "a 64-bit integer";
    u8, "an unsigned 8-bit integer";
    u16, "an unsigned 16-bit integer";
    u32, "an unsigned 32-bit integer";
}

impl Encode for bool {
    fn encode(&self, writer: &mut Writer, tag: u8) {
        writer.int(tag, i64::from(*self));
    }
}

impl Decode for bool {
    fn decode(value: Value<'_>, tag: u8) -> Result<Self> {
        i8::decode(value, tag).map(|v| v != 0)
    }
}

impl Encode for f32 {
    fn encode(&self, writer: &mut Writer, tag: u8) {
        writer.float(tag, *self);
    }
}

impl Decode for f32 {
    fn decode(value: Value<'_>, tag: u8) -> Result<Self> {
        match value {
            Value::Float(v) => Ok(v),
            Value::Int(0) => Ok(0.0),
            _ => mismatch(&value, tag, "a float"),
        }
    }
}

impl Encode for f64 {
    fn encode(&self, writer: &mut Writer, tag: u8) {
        writer.double(tag, *self);
    }
}

impl Decode for f64 {
    fn decode(value: Value<'_>, tag: u8) -> Result<Self> {
        match value {
            Value::Double(v) => Ok(v),
            Value::Float(v) => Ok(Self::from(v)),
            Value::Int(0) => Ok(0.0),
            _ => mismatch(&value, tag, "a double"),
        }
    }
}

impl Encode for str {
    fn encode(&self, writer: &mut Writer, tag: u8) {
        writer.text(tag, self.as_bytes());
    }
}

impl Encode for String {
    fn encode(&self, writer: &mut Writer, tag: u8) {
        writer.text(tag, self.as_bytes());
    }
}

impl Decode for String {
    fn decode(value: Value<'_>, tag: u8) -> Result<Self> {
        let Value::Text(bytes) = value else {
            return mismatch(&value, tag, "a text");
        };
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| WireError::NotUtf8(tag))
    }
}

/// A byte array (`vector<byte>`), which is no list of numbers on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Encode for Bytes {
    fn encode(&self, writer: &mut Writer, tag: u8) {
        writer.byte_array(tag, &self.0);
    }
}

impl Decode for Bytes {
    fn decode(value: Value<'_>, tag: u8) -> Result<Self> {
        match value {
            Value::Bytes(bytes) => Ok(Self(bytes.to_vec())),
            // A list of bytes is taken as well (TarsCpp `Tars.h`, `read(vector<char>)`).
            Value::List(list) => {
                let bytes = elements::<i64>(list, tag)?;
                let byte = |v: &i64| {
                    let narrow = i8::try_from(*v).map(|b| b.to_be_bytes()[0]);
                    narrow.map_err(|_| WireError::OutOfRange {
                        tag,
                        value: *v,
                        wanted: "a byte",
                    })
                };
                bytes.iter().map(byte).collect::<Result<_>>().map(Self)
            }
            _ => mismatch(&value, tag, "a byte array"),
        }
    }
}

/// Memory for `count` elements that take `size` bytes on the wire.
///
/// The count is none that somebody only claims, for every element was seen. Yet an empty structure
/// takes two bytes on the wire and may take hundreds in memory, so that a stranger's message could
/// still cost a hundred times its size. What is in honest use has texts and numbers in it; a list
/// whose memory would be out of all proportion is refused.
fn room<T>(count: usize, size: usize) -> Result<Vec<T>> {
    // Even a text or a pair of texts that are empty take a twelfth of their memory.
    let factor = match size_of::<T>() {
        0..=48 => 12,
        49..=160 => 8,
        _ => 4,
    };
    if count.saturating_mul(size_of::<T>()) > size.saturating_mul(factor) {
        return Err(WireError::TooSparse { count, size });
    }
    Ok(Vec::with_capacity(count))
}

fn elements<T: Decode>(mut list: List<'_>, tag: u8) -> Result<Vec<T>> {
    let mut out = room(list.len(), list.size())?;
    while let Some(value) = list.advance()? {
        out.push(T::decode(value, tag)?);
    }
    Ok(out)
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, writer: &mut Writer, tag: u8) {
        writer.list(tag, self.len());
        for element in self {
            element.encode(writer, 0);
        }
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(value: Value<'_>, tag: u8) -> Result<Self> {
        match value {
            Value::List(list) => elements(list, tag),
            _ => mismatch(&value, tag, "a list"),
        }
    }
}

/// A map in the order in which it is on the wire. A key may stand there twice; the last one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs<K, V>(pub Vec<(K, V)>);

impl<K, V> Default for Pairs<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq, V> Pairs<K, V> {
    /// The value of a key.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
        Q: PartialEq + ?Sized,
    {
        self.0
            .iter()
            .rev()
            .find(|(k, _)| k.borrow() == key)
            .map(|(_, v)| v)
    }
}

impl<K: Encode, V: Encode> Encode for Pairs<K, V> {
    fn encode(&self, writer: &mut Writer, tag: u8) {
        writer.map(tag, self.0.len());
        for (key, value) in &self.0 {
            key.encode(writer, 0);
            value.encode(writer, 1);
        }
    }
}

impl<K: Decode, V: Decode> Decode for Pairs<K, V> {
    fn decode(value: Value<'_>, tag: u8) -> Result<Self> {
        let Value::Map(map) = value else {
            return mismatch(&value, tag, "a map");
        };
        let mut map: Map<'_> = map;
        let mut out = room(map.len(), map.size())?;
        while let Some((key, value)) = map.advance()? {
            out.push((K::decode(key, tag)?, V::decode(value, tag)?));
        }
        Ok(Self(out))
    }
}

impl<T: Encode> Encode for Option<T> {
    /// A field that is not there is not written.
    fn encode(&self, writer: &mut Writer, tag: u8) {
        if let Some(value) = self {
            value.encode(writer, tag);
        }
    }
}

/// Writes a field that differs from its type's default.
pub fn put_if_set<T: Encode + Default + PartialEq>(writer: &mut Writer, tag: u8, value: &T) {
    if *value != T::default() {
        writer.put(tag, value);
    }
}

/// Declares a structure of an interface: `tag need name: type`, tags rising, where `need` is
/// `require` (missing is an error) or `optional` (missing is the type's default).
///
/// Optional fields are written only where they differ from the default, as the framework does.
#[macro_export]
macro_rules! tars_struct {
    ($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$fdoc:meta])* $tag:literal $need:ident $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: $type,)*
        }

        impl $name {
            /// Writes the fields, without the marks of a structure around them.
            pub fn write_fields(&self, writer: &mut $crate::writer::Writer) {
                $($crate::tars_struct!(@write $need writer, $tag, &self.$field);)*
            }

            /// Reads the fields.
            ///
            /// # Errors
            /// Where a required field is missing, or one has another type.
            pub fn read_fields(mut fields: $crate::value::Fields<'_>) -> $crate::Result<Self> {
                Ok(Self {
                    $($field: match fields.find($tag)? {
                        Some(value) => $crate::codec::Decode::decode(value, $tag)?,
                        None => $crate::tars_struct!(@missing $need $tag, $field),
                    },)*
                })
            }
        }

        impl $crate::codec::Encode for $name {
            fn encode(&self, writer: &mut $crate::writer::Writer, tag: u8) {
                writer.structure(tag, |w| self.write_fields(w));
            }
        }

        impl $crate::codec::Decode for $name {
            fn decode(value: $crate::value::Value<'_>, tag: u8) -> $crate::Result<Self> {
                match value {
                    $crate::value::Value::Struct(fields) => Self::read_fields(fields),
                    _ => Err($crate::WireError::Mismatch {
                        tag,
                        found: value.name(),
                        wanted: "a structure",
                    }),
                }
            }
        }
    };
    (@write require $writer:ident, $tag:literal, $value:expr) => {
        $writer.put($tag, $value)
    };
    (@write optional $writer:ident, $tag:literal, $value:expr) => {
        $crate::codec::put_if_set($writer, $tag, $value)
    };
    (@missing require $tag:literal, $field:ident) => {
        return Err($crate::WireError::Missing { tag: $tag, name: stringify!($field) })
    };
    (@missing optional $tag:literal, $field:ident) => {
        Default::default()
    };
}
