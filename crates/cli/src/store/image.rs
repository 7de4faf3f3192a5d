//! The image of a framework of containers: read from its archive on this machine.

use std::fs::File;

use tarsops_model::container::Container;
use tarsops_model::package::ImagePin;
use tarsops_package::{ImageError, LockFile, image_limits, read_image};

use crate::failure::{Failure, Result};

/// The identity of a container's image: from its archive, or what the lock file has where the spec
/// names none.
pub fn identify(container: &Container, lock: Option<&LockFile>) -> Result<ImagePin> {
    let image = &container.image;
    let Some(path) = &container.archive else {
        let pinned = lock.and_then(|lock| lock.images().get(image));
        return pinned.cloned().ok_or_else(|| {
            Failure::new(format!("the image {image} is not pinned"))
                .hint("save it with `docker save` and name the file as `docker.archive`; it is read on this machine, and no engine is asked")
        });
    };
    let refused = |e: &dyn std::error::Error, hint: &str| {
        Failure::new(format!(
            "the image {image} in {} cannot be used",
            path.display()
        ))
        .because(e)
        .hint(hint)
    };
    let again = format!("write it with `docker save -o {} {image}`", path.display());
    let file = File::open(path).map_err(|e| refused(&e, &again))?;
    let pin = read_image(file, image, &image_limits()).map_err(|e| {
        let hint = match &e {
            ImageError::Rebuilds { .. } => "use an image that does not set it",
            _ => &again,
        };
        refused(&e, hint)
    })?;
    if pin.framework != container.version {
        let e = ImageError::OtherVersion {
            image: image.clone(),
            found: pin.framework,
            wanted: container.version,
        };
        return Err(refused(
            &e,
            "correct `docker.image` and `docker.archive`, or `framework.version`",
        ));
    }
    Ok(pin)
}
