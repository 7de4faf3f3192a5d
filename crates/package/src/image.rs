//! Images of the framework: read from an archive of `docker save`, in one pass and without an engine.
//!
//! An archive holds `manifest.json`, the configuration of the image and its layers, in whatever order.
//! Newer engines write the same in the layout of OCI, with layers that may be compressed. The image's
//! identity is the sha256 of its configuration, which names the sha256 of each unpacked layer; both
//! are computed here and compared, so that what is read is what an engine will load.
//!
//! Only a few files are looked at, in the folder that the framework is installed from. Nothing is
//! unpacked, and memory is bounded whatever the archive claims.

mod layer;
mod reader;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read};

use serde::Deserialize;
use tarsops_model::container::{REBUILD, asks_for_rebuild};
use tarsops_model::digest::Digest;
use tarsops_model::display;
use tarsops_model::names::ImageName;
use tarsops_model::package::ImagePin;
use tarsops_model::version::Version;

use crate::refusal::{Limits, PackageError};
use crate::stream::Gunzip;
use layer::Layer;
use reader::{Blob, Blobs};

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The archive itself is refused.
    #[error("the archive of the image is refused")]
    Archive(#[from] PackageError),
    /// It has no list of images.
    #[error("the archive is none that `docker save` writes: it has no `manifest.json`")]
    NoManifest,
    /// A part of it is no JSON of the expected form.
    #[error("`{name}` in the archive is not understood")]
    Json {
        /// Which part.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It holds several images, or none.
    #[error("the archive holds {count} images; save one alone")]
    Count {
        /// How many.
        count: usize,
    },
    /// Something that it names is not in it.
    #[error("the archive lacks `{name}`, which its manifest names")]
    Lacks {
        /// What.
        name: String,
    },
    /// A layer is not the one that the image's configuration names.
    #[error("the layer {number} of the image is damaged: its sha256 is {found}, not {wanted}")]
    Layer {
        /// Which, from 1.
        number: usize,
        /// What it is.
        found: Digest,
        /// What it should be.
        wanted: Digest,
    },
    /// The manifest and the configuration have different numbers of layers.
    #[error("the archive has {found} layers, and the image {wanted}")]
    Layers {
        /// In the manifest.
        found: usize,
        /// In the configuration.
        wanted: usize,
    },
    /// A layer is compressed in a way that is not read.
    #[error(
        "a layer is compressed by zstd, which is not read; save the image from an engine that stores layers by gzip or not compressed"
    )]
    Zstd,
    /// It is another image than one of the framework.
    #[error("the image holds no framework: it lacks `/{path}`")]
    NoFramework {
        /// The file that it lacks.
        path: &'static str,
    },
    /// A file of the framework in it is not as it should be.
    #[error("`/{path}` in the image {why}")]
    File {
        /// Which file.
        path: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Every container of it would drop the databases.
    #[error("the image sets `{REBUILD}` to `{}`: each start of a container of it would drop the framework's databases", display::cut(.value, 40))]
    Rebuilds {
        /// The value.
        value: String,
    },
    /// It holds another framework than the spec wants.
    #[error("the image {image} holds framework {found}, and the spec wants {wanted}{}", hint(.image, .wanted))]
    OtherVersion {
        /// The image.
        image: ImageName,
        /// What it holds.
        found: Version,
        /// What is wanted.
        wanted: Version,
    },
}

/// Which tags hold the wanted version, as far as that is known.
fn hint(image: &ImageName, wanted: &Version) -> String {
    let tags = crate::pairs::tags_of(*wanted);
    let name = image.as_str().split(['@', ':']).next().unwrap_or_default();
    match (name, tags.as_slice()) {
        ("tarscloud/framework" | "tarscloud/tars", [_, ..]) => {
            format!("; a tag is no version: {} has it", tags.join(" or "))
        }
        _ => String::new(),
    }
}

/// How much of an archive with an image is read.
#[must_use]
pub fn image_limits() -> Limits {
    Limits {
        max_entries: 4096,
        max_file: 16 << 30,
        max_total: 32 << 30,
        max_name: 4096,
        ..Limits::default()
    }
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    architecture: String,
    rootfs: RootFs,
    #[serde(default)]
    config: Inner,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Inner {
    #[serde(rename = "Env", default)]
    env: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Package {
    version: String,
}

/// Reads an archive of an image, compressed or not, to its end. `name` is what the spec calls it.
///
/// # Errors
/// [`ImageError`] for everything that is no whole image of the framework within the limits, and for an
/// image that would drop the framework's databases.
pub fn read_image<R: Read>(
    archive: R,
    name: &ImageName,
    limits: &Limits,
) -> Result<ImagePin, ImageError> {
    let mut archive = BufReader::with_capacity(256 << 10, archive);
    let first = archive.fill_buf().map_err(PackageError::Read)?;
    let blobs = match first {
        [] => return Err(PackageError::Empty.into()),
        [0x1f, 0x8b, ..] => {
            let mut gunzip = Gunzip::new(archive, limits)?;
            let blobs = reader::read(&mut gunzip, limits);
            match blobs {
                Ok(blobs) => {
                    gunzip.finish()?;
                    blobs
                }
                Err(ImageError::Archive(PackageError::Damaged(e))) => {
                    return Err(gunzip.explain(e).into());
                }
                Err(e) => return Err(e),
            }
        }
        _ => reader::read(&mut archive, limits)?,
    };
    assemble(&blobs, name)
}

fn assemble(blobs: &Blobs, name: &ImageName) -> Result<ImagePin, ImageError> {
    let manifest = json(blobs, "manifest.json").ok_or(ImageError::NoManifest)?;
    let all: Vec<Manifest> = parse("manifest.json", manifest)?;
    let [manifest] = all.as_slice() else {
        return Err(ImageError::Count { count: all.len() });
    };
    let lacks = |name: &str| ImageError::Lacks {
        name: display::cut(name, 120).into_owned(),
    };
    let text = json(blobs, &manifest.config).ok_or_else(|| lacks(&manifest.config))?;
    let config: Config = parse(&manifest.config, text)?;
    let wanted = &config.rootfs.diff_ids;
    if wanted.len() != manifest.layers.len() {
        return Err(ImageError::Layers {
            found: manifest.layers.len(),
            wanted: wanted.len(),
        });
    }
    let mut layers = Vec::new();
    let mut files = BTreeMap::new();
    for (number, (wanted, name)) in wanted.iter().zip(&manifest.layers).enumerate() {
        let layer = match blobs.get(name) {
            Some(Blob::Layer(layer)) => layer,
            Some(Blob::Zstd) => return Err(ImageError::Zstd),
            _ => return Err(lacks(name)),
        };
        let wanted: Digest = wanted
            .strip_prefix("sha256:")
            .and_then(|d| d.parse().ok())
            .ok_or_else(|| lacks(wanted))?;
        if layer.digest != wanted {
            return Err(ImageError::Layer {
                number: number + 1,
                found: layer.digest,
                wanted,
            });
        }
        layers.push(wanted);
        layer.put_over(&mut files);
    }
    for variable in config.config.env.iter().flatten() {
        if let Some((REBUILD, value)) = variable.split_once('=')
            && asks_for_rebuild(value)
        {
            let value = value.to_owned();
            return Err(ImageError::Rebuilds { value });
        }
    }
    let kept = |path: &'static str| {
        let file = files.get(path).ok_or(ImageError::NoFramework { path })?;
        match &file.text {
            Some(text) => Ok((file.digest, text.as_str())),
            None => Err(ImageError::File {
                path,
                why: "is no small text".to_owned(),
            }),
        }
    };
    let (entrypoint, _) = kept(layer::ENTRYPOINT)?;
    let framework = kept(layer::VERSION)?.1.trim();
    let framework = framework.parse().map_err(|e| ImageError::File {
        path: layer::VERSION,
        why: format!("holds no version: {e}"),
    })?;
    let console = match kept(layer::CONSOLE) {
        Err(ImageError::NoFramework { .. }) => None,
        Err(e) => return Err(e),
        Ok((_, text)) => {
            let package: Package = parse(layer::CONSOLE, text.as_bytes())?;
            let version = package.version.parse().map_err(|e| ImageError::File {
                path: layer::CONSOLE,
                why: format!("holds no version: {e}"),
            })?;
            Some(version)
        }
    };
    let models = Layer::models(&files);
    let models = models.and_then(|texts| crate::web::read_models(&texts).ok());
    Ok(ImagePin {
        name: name.clone(),
        id: Digest::of(text),
        registry: name.digest(),
        architecture: display::cut(&config.architecture, 32).into_owned(),
        layers,
        framework,
        console,
        models,
        entrypoint,
        binaries: Layer::binaries(&files),
    })
}

fn json<'b>(blobs: &'b Blobs, name: &str) -> Option<&'b [u8]> {
    match blobs.get(name)? {
        Blob::Json(text) => Some(text),
        _ => None,
    }
}

fn parse<'t, T: Deserialize<'t>>(name: &str, text: &'t [u8]) -> Result<T, ImageError> {
    serde_json::from_slice(text).map_err(|source| ImageError::Json {
        name: display::cut(name, 120).into_owned(),
        source,
    })
}
