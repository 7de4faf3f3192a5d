//! The archive in which a program is published.

use std::fs::File;
use std::io::{BufWriter, Read as _};
use std::path::Path;

use tarsops_model::component::Component;

/// Makes the archive of a program, and gives its MD5.
pub(super) fn pack(component: Component, binary: &Path, into: &Path) -> std::io::Result<String> {
    let program = File::open(binary)?;
    let size = program.metadata()?.len();
    let file = BufWriter::new(File::create(into)?);
    let file = tarsops_package::publishable(component.name(), program, size, file)?;
    file.into_inner()?.sync_all()?;
    let mut archive = File::open(into)?;
    let mut digest = md5::Context::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = archive.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        digest.consume(&buffer[..read]);
    }
    Ok(format!("{:x}", digest.finalize()))
}
