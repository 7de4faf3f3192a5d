//! The Tars protocol: how values, requests and responses are written as bytes.
//!
//! A message is a 4-byte big-endian length that counts itself, then the fields of a request or a
//! response. A field is a head, which holds a tag (its place in the structure) and a type, then its
//! content. Fields stand in the order of their tags; a reader skips those that it does not know and
//! takes the default of those that are not there (TarsCpp `servant/servant/tup/Tars.h`).
//!
//! This crate computes: it opens no connection and waits for nothing. Bytes come from strangers, so
//! reading them never panics, never goes deeper than [`value::MAX_DEPTH`], and allocates nothing
//! before what it needs has been seen: a claimed length or count is never trusted.
//!
//! ```
//! use tarsops_wire::packet::{Request, take_frame};
//! use tarsops_wire::writer::Writer;
//!
//! let mut arguments = Writer::new();
//! arguments.put(1, "tars.tarsconfig.ConfigObj");
//! let request = Request::new(7, "tars.tarsregistry.QueryObj", "findObjectById", arguments.finish());
//! let bytes = request.to_frame()?;
//!
//! let (frame, rest) = take_frame(&bytes, 1 << 20)?.ok_or("more bytes are needed")?;
//! assert_eq!(Request::from_frame(frame)?, request);
//! assert!(rest.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`value`] | values as views into the bytes that hold them |
//! | [`codec`] | Rust types to and from values; [`tars_struct!`] |
//! | [`writer`] | values to bytes, each in its smallest form |
//! | [`packet`] | requests, responses, and frames in a stream |
//! | [`interface`] | the structures and calls of the framework that tarsops uses |

pub mod codec;
mod error;
pub mod interface;
pub mod packet;
pub mod value;
pub mod writer;

pub use codec::{Bytes, Decode, Encode};
pub use error::{Result, WireError};
pub use value::{Fields, Value};
pub use writer::Writer;
