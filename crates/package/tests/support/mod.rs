//! Archives made in memory, well-formed and hostile.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};
use tarsops_package::tree::{Tree, TreeEntry, TreeKind};

/// Writes entries one by one, checking nothing.
#[derive(Default)]
pub(crate) struct Maker {
    raw: Vec<u8>,
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn header(kind: EntryType, name: &[u8], link: &[u8], size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o600);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name);
        gnu.linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        header
    }

    pub(crate) fn entry(mut self, kind: EntryType, name: &[u8], link: &[u8], data: &[u8]) -> Self {
        let header = Self::header(kind, name, link, data.len() as u64);
        self.raw.extend_from_slice(header.as_bytes());
        self.data(data)
    }

    pub(crate) fn data(mut self, data: &[u8]) -> Self {
        self.raw.extend_from_slice(data);
        self.raw.resize(self.raw.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(EntryType::Regular, name.as_bytes(), b"", data)
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name.as_bytes(), b"", b"")
    }

    pub(crate) fn claims(mut self, kind: EntryType, name: &str, size: u64) -> Self {
        let header = Self::header(kind, name.as_bytes(), b"", size);
        self.raw.extend_from_slice(header.as_bytes());
        self
    }

    pub(crate) fn tar(mut self) -> Vec<u8> {
        self.raw.extend_from_slice(&[0; 1024]);
        self.raw
    }

    pub(crate) fn tgz(self) -> Vec<u8> {
        gz(&self.tar())
    }

    /// Without the blocks that end an archive.
    pub(crate) fn cut(self) -> Vec<u8> {
        gz(&self.raw)
    }
}

pub(crate) fn gz(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn component(name: &str, binary: &[u8]) -> Maker {
    Maker::new()
        .dir(&format!("{name}/"))
        .file(&format!("{name}/bin/{name}"), binary)
        .file(&format!("{name}/bin/libx.so"), b"lib")
        .file(
            &format!("{name}/conf/tars.{name}.config.conf"),
            b"<tars>\n</tars>\n",
        )
        .file(&format!("{name}/conf/tars.{name}.config.conf.bak"), b"old")
        .file(&format!("{name}/util/start.sh"), b"#!/bin/sh\n")
        .file(&format!("{name}/util/stop.sh"), b"#!/bin/sh\n")
        .file(&format!("{name}/util/execute.sh"), b"#!/bin/sh\n")
        .file(&format!("{name}/data/serversCache.dat"), b"cache")
        .file(&format!("{name}/app_log/x.log"), b"log")
}

/// The files of a deploy tree below `lead`.
pub(crate) fn deploy(lead: &str, binary: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = vec![("FRAMEWORK_VERSION.txt".into(), b"3.0.17".into())];
    for name in ["tarsnode", "tarsregistry"] {
        let conf = format!("framework/conf/{name}/conf/tars.{name}.config.conf");
        all.push((
            format!("framework/servers/{name}/bin/{name}"),
            binary.into(),
        ));
        all.push((conf, b"localip=localip.tars.com\n".into()));
        for script in ["start.sh", "stop.sh", "execute.sh"] {
            let path = format!("framework/util-linux/{name}/util/{script}");
            all.push((path, b"#!/bin/sh\n".into()));
        }
    }
    all.push((
        "framework/conf/tarsnode/data/lib/README.md".into(),
        b"x".into(),
    ));
    all.push(("framework/sql/db_tars.sql".into(), b"create".into()));
    all.push((
        "framework/util-linux/check.sh".into(),
        b"#!/bin/sh\n".into(),
    ));
    all.into_iter()
        .map(|(n, d)| (format!("{lead}{n}"), d))
        .collect()
}

pub(crate) fn tgz_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let maker = files.iter().fold(Maker::new(), |m, (n, d)| m.file(n, d));
    maker.tgz()
}

/// A tree in memory.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) others: Vec<(String, TreeKind)>,
}

impl Tree for Memory {
    fn entries(&self) -> io::Result<Vec<TreeEntry>> {
        let files = self.files.iter().map(|(n, d)| {
            let size = d.len() as u64;
            (n.clone(), TreeKind::File { size })
        });
        let all = files.chain(self.others.iter().cloned());
        let entry = |(name, kind): (String, TreeKind)| TreeEntry {
            name: name.into_bytes(),
            kind,
        };
        Ok(all.map(entry).collect())
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        match self.files.get(path) {
            Some(data) => Ok(Box::new(data.as_slice())),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }
}
