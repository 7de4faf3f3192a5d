//! What is written is read again, and bytes from strangers do no harm.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use tarsops_wire::codec::Pairs;
use tarsops_wire::interface::EndpointF;
use tarsops_wire::packet::{Request, Response, take_frame};
use tarsops_wire::value::MAX_DEPTH;
use tarsops_wire::{Bytes, Decode, Encode, Fields, Value, WireError, Writer};

/// A value that owns its parts, to make others from.
#[derive(Debug, Clone)]
enum Owned {
    Int(i64),
    Float(f32),
    Double(f64),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    List(Vec<Owned>),
    Map(Vec<(Owned, Owned)>),
    Struct(Vec<(u8, Owned)>),
}

impl Encode for Owned {
    fn encode(&self, w: &mut Writer, tag: u8) {
        match self {
            Self::Int(v) => w.int(tag, *v),
            Self::Float(v) => w.float(tag, *v),
            Self::Double(v) => w.double(tag, *v),
            Self::Text(v) => w.text(tag, v),
            Self::Bytes(v) => w.byte_array(tag, v),
            Self::List(v) => v.encode(w, tag),
            Self::Map(v) => {
                w.map(tag, v.len());
                for (key, value) in v {
                    w.put(0, key);
                    w.put(1, value);
                }
            }
            Self::Struct(v) => w.structure(tag, |w| v.iter().for_each(|(t, v)| w.put(*t, v))),
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let numbers = prop_oneof![
        any::<i64>(),
        any::<i32>().prop_map(i64::from),
        any::<i16>().prop_map(i64::from),
        any::<i8>().prop_map(i64::from),
        Just(0)
    ];
    let bytes = || prop::collection::vec(any::<u8>(), 0..400);
    let leaf = prop_oneof![
        numbers.prop_map(Owned::Int),
        any::<f32>().prop_map(Owned::Float),
        any::<f64>().prop_map(Owned::Double),
        bytes().prop_map(Owned::Text),
        bytes().prop_map(Owned::Bytes),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let pair = (inner.clone(), inner.clone());
        let fields = prop::collection::btree_map(any::<u8>(), inner.clone(), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Owned::List),
            prop::collection::vec(pair, 0..6).prop_map(Owned::Map),
            fields.prop_map(|f| Owned::Struct(f.into_iter().collect())),
        ]
    })
}

fn same(value: Value<'_>, owned: &Owned) -> bool {
    match (value, owned) {
        (Value::Int(a), Owned::Int(b)) => a == *b,
        (Value::Float(a), Owned::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Double(a), Owned::Double(b)) => a.to_bits() == b.to_bits(),
        (Value::Text(a), Owned::Text(b)) | (Value::Bytes(a), Owned::Bytes(b)) => a == b,
        (Value::List(mut a), Owned::List(b)) => {
            a.len() == b.len() && b.iter().all(|b| same(a.advance().unwrap().unwrap(), b))
        }
        (Value::Map(mut a), Owned::Map(b)) => {
            a.len() == b.len()
                && b.iter().all(|(k, v)| {
                    let (x, y) = a.advance().unwrap().unwrap();
                    same(x, k) && same(y, v)
                })
        }
        (Value::Struct(mut a), Owned::Struct(b)) => {
            b.iter().all(|(t, v)| {
                let (tag, value) = a.advance().unwrap().unwrap();
                tag == *t && same(value, v)
            }) && a.advance().unwrap().is_none()
        }
        _ => false,
    }
}

/// Walks over everything, so that no view is left unread.
fn walk(value: Value<'_>) -> usize {
    match value {
        Value::List(mut l) => {
            let mut n = 1;
            while let Some(v) = l.advance().unwrap() {
                n += walk(v);
            }
            n
        }
        Value::Map(mut m) => {
            let mut n = 1;
            while let Some((k, v)) = m.advance().unwrap() {
                n += walk(k) + walk(v);
            }
            n
        }
        Value::Struct(mut f) => {
            let mut n = 1;
            while let Some((_, v)) = f.advance().unwrap() {
                n += walk(v);
            }
            n
        }
        _ => 1,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_again(fields in prop::collection::btree_map(any::<u8>(), owned(), 0..6)) {
        let mut writer = Writer::new();
        for (tag, value) in &fields {
            writer.put(*tag, value);
        }
        let bytes = writer.finish();
        let read = Fields::new(&bytes).unwrap();
        for (tag, value) in &fields {
            // By tag, from the start: everything before it is skipped.
            let mut fresh = read;
            let found = fresh.find(*tag).unwrap().unwrap();
            prop_assert!(same(found, value), "{:?} became {:?}", value, found);
        }
        for absent in (0..=u8::MAX).filter(|t| !fields.contains_key(t)).step_by(17) {
            let mut fresh = read;
            prop_assert_eq!(fresh.find(absent).unwrap(), None);
        }
        // Read and written, it is the same to the byte.
        let mut again = Writer::new();
        let mut all = read;
        while let Some((tag, value)) = all.advance().unwrap() {
            again.value(tag, value).unwrap();
        }
        prop_assert_eq!(again.finish(), bytes);
    }

    #[test]
    fn strangers_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(mut fields) = Fields::new(&bytes) {
            while let Some((_, value)) = fields.advance().unwrap() {
                prop_assert!(walk(value) <= bytes.len());
            }
        }
        let _ = Request::from_frame(&bytes);
        let _ = Response::from_frame(&bytes);
        let _ = take_frame(&bytes, 1 << 16);
    }

    #[test]
    fn a_cut_or_changed_message_is_an_error_or_a_message(
        value in owned(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut writer = Writer::new();
        writer.put(3, &value);
        let bytes = writer.finish();
        for cut in 1..bytes.len().min(200) {
            prop_assert!(Fields::new(&bytes[..cut]).is_err(), "cut at {}", cut);
        }
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] = byte;
        if let Ok(mut fields) = Fields::new(&changed) {
            while let Some((_, value)) = fields.advance().unwrap() {
                walk(value);
            }
        }
    }

    #[test]
    fn packets_survive(
        id in any::<i32>(), ret in any::<i32>(), servant in ".{0,40}", body in prop::collection::vec(any::<u8>(), 0..300),
        context in prop::collection::vec((".{0,8}", ".{0,300}"), 0..4), description in ".{0,20}"
    ) {
        let mut request = Request::new(id, &servant, "call", body.clone());
        request.context = Pairs(context.clone());
        let bytes = request.to_frame().unwrap();
        let mut stream = bytes.clone();
        stream.extend([0, 0, 0, 9, 1]);
        for cut in 0..bytes.len().min(64) {
            prop_assert_eq!(take_frame(&stream[..cut], 1 << 20).unwrap(), None);
        }
        let (frame, rest) = take_frame(&stream, 1 << 20).unwrap().unwrap();
        prop_assert_eq!(rest, &[0, 0, 0, 9, 1]);
        prop_assert_eq!(Request::from_frame(frame).unwrap(), request.clone());
        let mut response = Response::to(&request, ret, body);
        response.description = description;
        response.status = Pairs(context);
        let bytes = response.to_frame().unwrap();
        prop_assert_eq!(Response::from_frame(&bytes[4..]).unwrap(), response);
    }
}

#[test]
fn unknown_fields_are_skipped_and_missing_ones_are_defaulted() {
    let mut writer = Writer::new();
    writer.structure(0, |w| {
        w.put(0, "10.0.0.1");
        w.put(1, &17890i32);
        w.put(2, &60000i32);
        w.put(3, &1i32);
        w.put(4, &0i32);
        w.put(10, &vec![1i32, 2]);
        w.put(14, "n");
        w.put(200, &Bytes(vec![1, 2, 3]));
    });
    let bytes = writer.finish();
    let value = Fields::new(&bytes).unwrap().find(0).unwrap().unwrap();
    let endpoint = EndpointF::decode(value, 0).unwrap();
    assert_eq!(
        (endpoint.port, endpoint.weight, endpoint.node_name.as_str()),
        (17890, 0, "n")
    );

    let mut writer = Writer::new();
    writer.structure(0, |w| w.put(0, "10.0.0.1"));
    let bytes = writer.finish();
    let value = Fields::new(&bytes).unwrap().find(0).unwrap().unwrap();
    let error = EndpointF::decode(value, 0).unwrap_err();
    assert_eq!(error.to_string(), "field 1 (port) is missing");
}

#[test]
fn claims_are_not_trusted() {
    // A list, a map, a text and a byte array that claim two thousand million parts.
    for claim in [
        &[0x09, 0x02, 0x7f, 0xff, 0xff, 0xff][..],
        &[0x08, 0x02, 0x7f, 0xff, 0xff, 0xff],
        &[0x07, 0xff, 0xff, 0xff, 0xff],
        &[0x0d, 0x00, 0x02, 0x7f, 0xff, 0xff, 0xff],
    ] {
        assert!(
            matches!(Fields::new(claim), Err(WireError::Truncated { .. })),
            "{claim:?}"
        );
    }
    let negative = [0x09, 0x00, 0xff];
    assert!(matches!(
        Fields::new(&negative),
        Err(WireError::BadLength { length: -1, .. })
    ));
    assert_eq!(Fields::new(&[0x0b]), Err(WireError::StrayEnd));
    assert_eq!(Fields::new(&[0x0e]), Err(WireError::UnknownType(14)));
    let frame = take_frame(&[0xff, 0xff, 0xff, 0xff], 1 << 20);
    assert!(matches!(frame, Err(WireError::BadFrame { .. })));
    assert!(matches!(
        take_frame(&[0, 0, 0, 3, 0], 9),
        Err(WireError::BadFrame { size: 3, .. })
    ));
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| {
        let mut bytes = vec![0x0a; depth];
        bytes.extend(vec![0x0b; depth]);
        bytes
    };
    assert!(Fields::new(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(
        Fields::new(&nested(MAX_DEPTH + 1)),
        Err(WireError::TooDeep(MAX_DEPTH))
    );
    assert_eq!(
        Fields::new(&nested(1_000_000)),
        Err(WireError::TooDeep(MAX_DEPTH))
    );
    // A list of one list of one list …
    let lists = [0x09, 0x00, 0x01].repeat(100_000);
    assert_eq!(Fields::new(&lists), Err(WireError::TooDeep(MAX_DEPTH)));
}

#[test]
fn numbers_are_read_as_the_framework_reads_them() {
    let read = |write: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::new();
        write(&mut writer);
        writer.finish()
    };
    let of = |bytes: &[u8]| -> Option<f64> {
        let value = Fields::new(bytes).unwrap().find(0).unwrap()?;
        f64::decode(value, 0).ok()
    };
    assert_eq!(of(&read(&|w| w.int(0, 0))), Some(0.0));
    assert_eq!(of(&read(&|w| w.float(0, 1.5))), Some(1.5));
    assert_eq!(of(&read(&|w| w.int(0, 1))), None);
    let wide = read(&|w| w.int(0, 70_000));
    let value = Fields::new(&wide).unwrap().find(0).unwrap().unwrap();
    let error = i16::decode(value, 0).unwrap_err().to_string();
    assert_eq!(
        error,
        "field 0 is 70000, which does not fit a 16-bit integer"
    );
    let list = read(&|w| vec![1i8, -1].encode(w, 0));
    let value = Fields::new(&list).unwrap().find(0).unwrap().unwrap();
    assert_eq!(Bytes::decode(value, 0).unwrap(), Bytes(vec![1, 255]));
}
