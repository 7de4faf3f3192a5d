//! Decodes hostile bytes as every message and structure there is. It panics where a decoder panics,
//! and where decoding one structure had allocated more than 16 times its input at any moment.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use libfuzzer_sys::fuzz_target;
use tarsops_wire::packet::{Request, Response, take_frame};
use tarsops_wire::{Decode, Fields, Value, interface};

/// Counts what is allocated and not freed, and the most of it.
struct Counting;
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocation that the input justifies, in multiples of its size.
const FACTOR: usize = 16;

fn bounded<T>(name: &str, size: usize, decode: impl FnOnce() -> T) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let value = decode();
    let took = PEAK.load(Relaxed).saturating_sub(before);
    drop(value);
    assert!(took <= FACTOR * size, "{name}: {took} bytes allocated for an input of {size}");
}

/// Reads every field of every structure, at any depth.
fn walk(value: Value<'_>) {
    match value {
        Value::Struct(mut fields) => while let Ok(Some((_, inner))) = fields.advance() { walk(inner) },
        Value::List(mut list) => while let Ok(Some(inner)) = list.advance() { walk(inner) },
        Value::Map(mut map) => while let Ok(Some((k, v))) = map.advance() { walk(k); walk(v) },
        _ => {}
    }
}

macro_rules! structures {
    ($bytes:ident: $($type:ty),*) => {$(
        bounded(stringify!($type), $bytes.len(), || {
            Fields::new($bytes).and_then(<$type>::read_fields)
        });
    )*};
}

fuzz_target!(|bytes: &[u8]| {
    let size = bytes.len();
    bounded("frame", size, || take_frame(bytes, 1 << 20).map(|f| f.map(|(a, b)| (a.len(), b.len()))));
    bounded("request", size, || Request::from_frame(bytes));
    bounded("response", size, || Response::from_frame(bytes));
    bounded("walk", size, || {
        if let Ok(fields) = Fields::new(bytes) {
            walk(Value::Struct(fields));
        }
    });
    structures!(bytes:
        interface::EndpointF, interface::ServerStateDesc, interface::FrameworkServer,
        interface::TaskReq, interface::TaskItemReq, interface::TaskRsp, interface::TaskItemRsp,
        interface::PatchInfo, interface::ServerConf, interface::AdapterConf);
    // Lists of structures are where a few bytes stand for much memory.
    macro_rules! lists {
        ($($type:ty),*) => {$(
            bounded(concat!("list of ", stringify!($type)), size, || {
                let mut fields = Fields::new(bytes)?;
                fields.find(0)?.map(|v| Vec::<$type>::decode(v, 0)).transpose()
            });
        )*};
    }
    lists!(interface::EndpointF, interface::FrameworkServer, interface::TaskItemReq,
        interface::TaskItemRsp, String, i64, Vec<String>, Vec<Vec<u8>>);
});
