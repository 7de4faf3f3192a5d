//! Requests, responses, and frames in a stream (TarsCpp `servant/servant/tup/RequestF.tars`).

use crate::codec::{Bytes, Pairs};
use crate::error::{Result, WireError};
use crate::tars_struct;
use crate::value::Fields;
use crate::writer::Writer;

/// Bytes of the length before each message.
const HEAD: usize = 4;

/// The version of the protocol that everybody speaks.
pub const VERSION: i16 = 1;

/// What `ret` of a response says beyond the callee's own answers.
pub mod code {
    /// The call was made.
    pub const SUCCESS: i32 = 0;
    /// The servant has no such function.
    pub const NO_FUNCTION: i32 = -3;
    /// No such servant on that port.
    pub const NO_SERVANT: i32 = -4;
}

tars_struct! {
    /// A call.
    pub struct Request {
        /// [`VERSION`].
        1 require version: i16,
        /// 0, or 1 for a call that nobody answers.
        2 require packet_type: i8,
        /// Flags such as that of a hashed call; 0.
        3 require message_type: i32,
        /// Joins an answer to its call.
        4 require id: i32,
        /// The servant, such as `tars.tarsregistry.QueryObj`.
        5 require servant: String,
        /// The function.
        6 require function: String,
        /// The arguments, with tags from 1.
        7 require arguments: Bytes,
        /// Milliseconds for which the caller waits; 0 for not said.
        8 require timeout: i32,
        /// What callers tell callees beside the arguments.
        9 require context: Pairs<String, String>,
        /// What the protocol itself tells.
        10 require status: Pairs<String, String>,
    }
}

tars_struct! {
    /// An answer, or a message that was pushed (its `id` is 0).
    pub struct Response {
        /// [`VERSION`].
        1 require version: i16,
        /// 0.
        2 require packet_type: i8,
        /// The call's.
        3 require id: i32,
        /// The call's.
        4 require message_type: i32,
        /// [`code`], or another number below 0 that the protocol knows.
        5 require ret: i32,
        /// The returned value with tag 0, and what came back in arguments with their tags.
        6 require body: Bytes,
        /// What the protocol itself tells; `TARS_FUNC` in a pushed message.
        7 require status: Pairs<String, String>,
        /// Words for people.
        8 optional description: String,
        /// What the callee tells beside the answer.
        9 optional context: Pairs<String, String>,
    }
}

fn frame(body: impl FnOnce(&mut Writer)) -> Result<Vec<u8>> {
    let mut writer = Writer::new();
    body(&mut writer);
    let body = writer.finish();
    // What is longer would also not fit the lengths inside.
    let size = i32::try_from(body.len() + HEAD).map_err(|_| WireError::TooLarge("this"))?;
    let mut out = Vec::with_capacity(body.len() + HEAD);
    out.extend(size.to_be_bytes());
    out.extend(body);
    Ok(out)
}

impl Request {
    /// A plain call.
    #[must_use]
    pub fn new(id: i32, servant: &str, function: &str, arguments: Vec<u8>) -> Self {
        Self {
            version: VERSION,
            id,
            servant: servant.to_owned(),
            function: function.to_owned(),
            arguments: Bytes(arguments),
            ..Self::default()
        }
    }

    /// The message with its length before it.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] above 2 GiB.
    pub fn to_frame(&self) -> Result<Vec<u8>> {
        frame(|w| self.write_fields(w))
    }

    /// Reads a message without its length.
    ///
    /// # Errors
    /// Where it is no request.
    pub fn from_frame(bytes: &[u8]) -> Result<Self> {
        Self::read_fields(Fields::new(bytes)?)
    }
}

impl Response {
    /// The answer to `request`.
    #[must_use]
    pub fn to(request: &Request, ret: i32, body: Vec<u8>) -> Self {
        Self {
            version: request.version,
            id: request.id,
            message_type: request.message_type,
            ret,
            body: Bytes(body),
            ..Self::default()
        }
    }

    /// The message with its length before it.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] above 2 GiB.
    pub fn to_frame(&self) -> Result<Vec<u8>> {
        frame(|w| self.write_fields(w))
    }

    /// Reads a message without its length.
    ///
    /// # Errors
    /// Where it is no response.
    pub fn from_frame(bytes: &[u8]) -> Result<Self> {
        Self::read_fields(Fields::new(bytes)?)
    }

    /// The fields of what came back.
    ///
    /// # Errors
    /// Where they are not well-formed.
    pub fn fields(&self) -> Result<Fields<'_>> {
        Fields::new(&self.body.0)
    }
}

/// The first message of a stream without its length, and what follows it; none while bytes of it
/// are missing.
///
/// # Errors
/// [`WireError::BadFrame`] for a length below 4 or above `limit` (bytes, the length included), before
/// the rest of the message has come.
pub fn take_frame(stream: &[u8], limit: usize) -> Result<Option<(&[u8], &[u8])>> {
    let Some((head, rest)) = stream.split_first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let size = u32::from_be_bytes(*head);
    let whole = usize::try_from(size).unwrap_or(usize::MAX);
    if whole < HEAD || whole > limit {
        let size = u64::from(size);
        return Err(WireError::BadFrame { size, limit });
    }
    Ok(rest.split_at_checked(whole - HEAD))
}
