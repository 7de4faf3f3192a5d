//! What is refused, and that no bytes make the reader panic or allocate beyond its limits.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{self, Read};

use proptest::prelude::*;
use support::{Maker, component, deploy, gz, tgz_of};
use tar::EntryType;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::package::Layout;
use tarsops_package::{Limits, PackageError, extract_file, read_archive};

fn refusal(data: &[u8], limits: &Limits) -> PackageError {
    read_archive(data, "a.tgz", limits).unwrap_err()
}

macro_rules! refused {
    ($data:expr, $pattern:pat) => {
        refused!($data, $pattern, Limits::default())
    };
    ($data:expr, $pattern:pat, $limits:expr) => {{
        let error = refusal(AsRef::<[u8]>::as_ref(&$data), &$limits);
        assert!(matches!(error, $pattern), "{error:?}");
        let text = error.to_string();
        assert!(!text.contains('\n') && text.chars().all(|c| !c.is_control()));
    }};
}

fn good() -> Maker {
    Maker::new().file("tarsnode/bin/tarsnode", b"binary")
}

#[test]
fn names_that_leave_the_folder() {
    refused!(
        good().file("/etc/passwd", b"x").tgz(),
        PackageError::Absolute { .. }
    );
    refused!(
        good().file("tarsnode/../../x", b"x").tgz(),
        PackageError::Traversal { .. }
    );
    refused!(
        good().file("..", b"x").tgz(),
        PackageError::Traversal { .. }
    );
    refused!(good().dir("../").tgz(), PackageError::Traversal { .. });
    let bad = good().entry(EntryType::Regular, b"tarsnode/\xff", b"", b"x");
    refused!(bad.tgz(), PackageError::Name { .. });
    refused!(
        good().file("tarsnode/a\nb", b"x").tgz(),
        PackageError::Name { .. }
    );
    refused!(good().file("", b"x").tgz(), PackageError::Name { .. });
    refused!(
        good().file("./", b"").file(".", b"x").tgz(),
        PackageError::Name { .. }
    );
}

#[test]
fn everything_that_is_no_plain_file() {
    let link = good().entry(EntryType::Symlink, b"tarsnode/l", b"/etc/passwd", b"");
    let error = refusal(&link.tgz(), &Limits::default());
    assert_eq!(
        error.to_string(),
        "`tarsnode/l` is a link to `/etc/passwd`; packages must hold plain files"
    );
    for (kind, name) in [(EntryType::Link, "hard"), (EntryType::Symlink, "soft")] {
        let data = good().entry(kind, name.as_bytes(), b"a", b"").tgz();
        refused!(data, PackageError::Link { .. });
    }
    for kind in [
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::new(b'V'),
    ] {
        refused!(
            good().entry(kind, b"x", b"", b"").tgz(),
            PackageError::Special { .. }
        );
    }
    let sparse = good().entry(EntryType::GNUSparse, b"x", b"", b"");
    refused!(sparse.tgz(), PackageError::Sparse { .. });
    let sparse = good()
        .entry(EntryType::XHeader, b"h", b"", b"22 GNU.sparse.major=1\n")
        .file("x", b"x");
    refused!(sparse.tgz(), PackageError::Sparse { .. });
}

#[test]
fn names_and_sizes_that_contradict() {
    refused!(
        good().file("./tarsnode/bin/tarsnode", b"x").tgz(),
        PackageError::Duplicate { .. }
    );
    refused!(
        good().dir("tarsnode/bin/tarsnode").tgz(),
        PackageError::Duplicate { .. }
    );
    refused!(
        good().file("tarsnode/bin/tarsnode/x", b"x").tgz(),
        PackageError::Duplicate { .. }
    );
    refused!(
        good().file("tarsnode/tarsnode", b"x").tgz(),
        PackageError::Duplicate { .. }
    );
    let pax = good()
        .entry(EntryType::XHeader, b"h", b"", b"9 size=7\n")
        .file("x", b"x");
    refused!(pax.tgz(), PackageError::Header { .. });
    let all = good()
        .entry(EntryType::XGlobalHeader, b"h", b"", b"9 path=x\n")
        .file("y", b"x");
    refused!(all.tgz(), PackageError::Header { .. });
    let odd = good()
        .entry(EntryType::XHeader, b"h", b"", b"what")
        .file("x", b"x");
    refused!(odd.tgz(), PackageError::Header { .. });
}

#[test]
fn bombs() {
    let zeros = vec![0; 3 << 20];
    let small = Limits {
        max_total: 2 << 20,
        ..Limits::default()
    };
    refused!(
        good().file("x", &zeros).tgz(),
        PackageError::TooMuch { .. },
        small
    );
    let ratio = Limits {
        ratio_from: 1 << 20,
        max_ratio: 50,
        ..Limits::default()
    };
    refused!(
        good().file("x", &zeros).tgz(),
        PackageError::Ratio { .. },
        ratio
    );
    let file = Limits {
        max_file: 1 << 20,
        ..Limits::default()
    };
    refused!(
        good().file("x", &zeros).tgz(),
        PackageError::TooMuch { .. },
        file
    );
    let huge = good().claims(EntryType::Regular, "x", 1 << 40).tgz();
    refused!(huge, PackageError::TooMuch { .. });
    let name = good().claims(EntryType::GNULongName, "x", 1 << 30).tgz();
    refused!(name, PackageError::TooMuch { .. });
    let many = (0..30).fold(good(), |m, i| m.dir(&format!("d{i}/")));
    let few = Limits {
        max_entries: 20,
        ..Limits::default()
    };
    refused!(many.tgz(), PackageError::TooMuch { .. }, few);
    // Data behind the end of the archive counts as well.
    let behind = gz(&[good().tar(), zeros].concat());
    let small = Limits {
        max_total: 1 << 20,
        ..Limits::default()
    };
    refused!(behind, PackageError::TooMuch { .. }, small);
}

#[test]
fn what_is_cut_or_no_package_at_all() {
    refused!(b"", PackageError::Empty);
    refused!(gz(b""), PackageError::Empty);
    refused!(Maker::new().tgz(), PackageError::Empty);
    refused!(b"PK\x03\x04", PackageError::NotGzip);
    refused!(good().tar(), PackageError::NotGzip);
    refused!(
        gz(b"hello, this is no archive"),
        PackageError::Damaged(_) | PackageError::Truncated { .. }
    );
    refused!(good().cut(), PackageError::Truncated { .. });
    let long = Maker::new()
        .claims(EntryType::Regular, "tarsnode/x", 100_000)
        .data(b"x");
    refused!(long.cut(), PackageError::Truncated { .. });
    let whole = component("tarsnode", b"binary").tgz();
    for end in 2..whole.len() {
        refused!(
            whole[..end],
            PackageError::Truncated { .. } | PackageError::Damaged(_)
        );
    }
}

#[test]
fn packages_without_a_usable_binary() {
    refused!(
        Maker::new().file("README", b"x").tgz(),
        PackageError::NoComponent { .. }
    );
    refused!(
        Maker::new().file("tarsnode/conf/a.conf", b"x").tgz(),
        PackageError::NoBinary { .. }
    );
    refused!(
        Maker::new().dir("tarsnode/").tgz(),
        PackageError::NoBinary { .. }
    );
    refused!(
        Maker::new().file("tarsnode/bin/tarsnode", b"").tgz(),
        PackageError::BadBinary { .. }
    );
    refused!(
        Maker::new().dir("tarsnode/bin/tarsnode/").tgz(),
        PackageError::BadBinary { .. }
    );
    let implied = Maker::new().file("tarsnode/bin/tarsnode/x", b"x");
    refused!(implied.tgz(), PackageError::BadBinary { .. });
    let mut odd = deploy("", b"b");
    odd[0].1 = b"soon".to_vec();
    refused!(tgz_of(&odd), PackageError::Version(_));
}

#[test]
fn a_source_that_fails_is_no_fault_of_the_package() {
    struct Fails(io::Cursor<Vec<u8>>);
    impl Read for Fails {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match self.0.read(&mut buf[..1])? {
                0 => Err(io::Error::other("gone")),
                n => Ok(n),
            }
        }
    }
    let whole = component("tarsnode", b"binary").tgz();
    for end in [0, 1, 50, whole.len()] {
        let source = Fails(io::Cursor::new(whole[..end].to_vec()));
        let error = read_archive(source, "a", &Limits::default()).unwrap_err();
        assert!(matches!(error, PackageError::Read(_)), "{end}: {error:?}");
    }
}

/// Small limits, so that a reader that ignored one would be caught.
fn tight() -> Limits {
    Limits {
        max_entries: 50,
        max_file: 64 << 10,
        max_total: 256 << 10,
        max_text: 4 << 10,
        ..Limits::default()
    }
}

fn try_all(data: &[u8]) {
    for limits in [tight(), Limits::default()] {
        if let Ok(archive) = read_archive(data, "a", &limits) {
            assert_eq!(archive.digest, Digest::of(data));
            assert!(!archive.found.is_empty());
        }
        let mut out = Vec::new();
        let digest = Digest::of(b"binary");
        let node = Component::Tarsnode;
        let path = "bin/tarsnode";
        if extract_file(
            data,
            Layout::Component,
            node,
            path,
            &digest,
            &mut out,
            &limits,
        )
        .is_ok()
        {
            assert_eq!(out, b"binary");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes(data in prop::collection::vec(any::<u8>(), 0..3000)) {
        try_all(&data);
        try_all(&gz(&data));
    }

    #[test]
    fn mutated_archives(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        fix_sums in any::<bool>(), cut in any::<prop::sample::Index>(), mutate_packed in any::<bool>(),
    ) {
        let long = "9 path=a\n".as_bytes();
        let mut raw = component("tarsnode", b"binary")
            .entry(EntryType::GNULongName, b"l", b"", b"tarsnode/conf/long\0")
            .file("x", b"1")
            .entry(EntryType::XHeader, b"x", b"", long)
            .file("y", b"2")
            .tar();
        if mutate_packed {
            let mut data = gz(&raw);
            for (at, b) in &changes {
                let at = at.index(data.len());
                data[at] = *b;
            }
            data.truncate(cut.index(data.len()) + 1);
            try_all(&data);
        } else {
            for (at, b) in &changes {
                let at = at.index(raw.len());
                raw[at] = *b;
            }
            if fix_sums {
                for block in raw.chunks_exact_mut(512) {
                    let mut header = tar::Header::new_gnu();
                    header.as_mut_bytes().copy_from_slice(block);
                    if header.as_gnu().is_some() {
                        header.set_cksum();
                        block.copy_from_slice(header.as_bytes());
                    }
                }
            }
            try_all(&gz(&raw));
        }
    }
}
