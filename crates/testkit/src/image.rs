//! Container images, written without an engine.
//!
//! An image is one layer and a configuration, in the format of `docker save`. Nothing in it depends on
//! when or where it was written, so it has the same ID on every engine. It knows nothing of hosts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// A container image.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// By path, without the first `/`.
    tree: BTreeMap<String, Entry>,
    env: Vec<String>,
    entrypoint: Vec<String>,
}

#[derive(Debug, Clone)]
enum Entry {
    Folder(u32),
    File(u32, Vec<u8>),
    Link(String),
}

impl Image {
    /// An empty image.
    #[must_use]
    pub fn new() -> Image {
        Image::default()
    }

    /// Adds or replaces a file, with the folders above it. The path is absolute.
    pub fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> &mut Image {
        self.put(path, Entry::File(mode, bytes.into()))
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> &mut Image {
        self.put(path, Entry::Link(target.to_owned()))
    }

    /// Adds a folder.
    pub fn folder(&mut self, path: &str, mode: u32) -> &mut Image {
        self.put(path, Entry::Folder(mode))
    }

    /// Removes a file, link or empty folder.
    pub fn without(&mut self, path: &str) -> &mut Image {
        self.tree.remove(path.trim_start_matches('/'));
        self
    }

    /// Sets a variable of its environment.
    pub fn env(&mut self, name: &str, value: &str) -> &mut Image {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Sets the program that a container runs, with its arguments.
    pub fn entrypoint(&mut self, words: &[&str]) -> &mut Image {
        self.entrypoint = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Adds a program of the machine, with the libraries that the machine's loader gives it.
    ///
    /// # Errors
    ///
    /// Where the program or a library cannot be read, or `ldd` be run.
    pub fn program(&mut self, path: &str, of: &Path) -> io::Result<&mut Image> {
        self.file(path, 0o755, fs::read(of)?);
        let output = Command::new("ldd").arg(of).output()?;
        // `name => /path (address)`, or `/path (address)` for the loader; a static program has none.
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let words = line.split_whitespace().find(|word| word.starts_with('/'));
            if let Some(library) = words {
                self.file(library, 0o755, fs::read(library)?);
            }
        }
        Ok(self)
    }

    fn put(&mut self, path: &str, entry: Entry) -> &mut Image {
        let path = path.trim_start_matches('/');
        for (at, _) in path.match_indices('/') {
            let above = path[..at].to_owned();
            self.tree.entry(above).or_insert(Entry::Folder(0o755));
        }
        self.tree.insert(path.to_owned(), entry);
        self
    }

    /// Its ID, `sha256:` and 64 hexadecimal digits: the digest of its configuration.
    ///
    /// # Errors
    ///
    /// Where a path or a target is too long for the archive.
    pub fn id(&self) -> io::Result<String> {
        Ok(format!("sha256:{}", digest(&self.config(&self.layer()?))))
    }

    fn layer(&self) -> io::Result<Vec<u8>> {
        let mut layer = Builder::new(Vec::new());
        for (path, entry) in &self.tree {
            let mut header = header();
            match entry {
                Entry::Folder(mode) => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_mode(*mode);
                    layer.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Entry::File(mode, bytes) => {
                    header.set_mode(*mode);
                    header.set_size(bytes.len() as u64);
                    layer.append_data(&mut header, path, bytes.as_slice())?;
                }
                Entry::Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_mode(0o777);
                    layer.append_link(&mut header, path, target)?;
                }
            }
        }
        layer.into_inner()
    }

    fn config(&self, layer: &[u8]) -> Vec<u8> {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let created = "2026-01-01T00:00:00Z";
        let config = serde_json::json!({
            "architecture": architecture,
            "os": "linux",
            "created": created,
            "config": { "Env": self.env, "Entrypoint": self.entrypoint },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest(layer))] },
            "history": [{ "created": created }],
        });
        config.to_string().into_bytes()
    }

    /// The image as `docker save REFERENCE` writes it, for `docker load`.
    ///
    /// # Errors
    ///
    /// Where a path or a target is too long for the archive.
    pub fn archive(&self, reference: &str) -> io::Result<Vec<u8>> {
        let layer = self.layer()?;
        let config = self.config(&layer);
        let (layer_path, config_path) = (
            format!("{}/layer.tar", digest(&layer)),
            format!("{}.json", digest(&config)),
        );
        let manifest = serde_json::json!([{
            "Config": config_path, "RepoTags": [reference], "Layers": [layer_path],
        }]);
        let mut archive = Builder::new(Vec::new());
        for (path, bytes) in [
            (config_path, config),
            (layer_path, layer),
            (
                "manifest.json".to_owned(),
                manifest.to_string().into_bytes(),
            ),
        ] {
            let mut header = header();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, path, bytes.as_slice())?;
        }
        archive.into_inner()
    }
}

/// The header of an empty file of root, without a time.
fn header() -> Header {
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

fn digest(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}
