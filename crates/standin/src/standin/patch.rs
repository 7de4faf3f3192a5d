//! The stand-in of tarspatch (TarsFramework `PatchServer/PatchImp.cpp`): packages come into one folder
//! and are handed to nodes out of another, where each server has one file, whoever asks for which
//! package. So two packages of one server cannot be published at once.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tarsops_wire::codec::Bytes;
use tarsops_wire::packet::Request;

use super::lies::Lie;
use super::net::{Arguments, Caller, Outcome, Reply, Servant, body};
use super::own::{Named, Own};
use super::shapes::{FileContent, FileInfo};

/// Its object.
pub(super) const PATCH: &str = "tars.tarspatch.PatchObj";
/// The folder of what is handed out, under that of the downloads.
pub(super) const BATCH: &str = "TARSBatchPatching";
/// Bytes of one download (`size` as shipped).
const PART: u64 = 1024 * 1024;

struct PatchObj {
    own: Own,
    /// What can be downloaded.
    downloads: PathBuf,
    /// What was uploaded.
    uploads: PathBuf,
}

/// The servant.
pub(super) fn servants(own: Own) -> Result<Vec<Named>, String> {
    let root = own.conf.at(&["tars"]);
    let server = own.conf.at(&["tars", "application", "server"]);
    // Where the configuration says nothing it is what the shipped one says: beside the folder `tars`.
    let beside = server
        .and_then(|server| server.get("basepath"))
        .and_then(|bin| Path::new(bin).ancestors().nth(3))
        .map(|folder| folder.join("patchs"));
    let folder = |key: &str, usual: &str| {
        let said = root.and_then(|root| root.get(key)).map(PathBuf::from);
        said.or_else(|| beside.as_ref().map(|beside| beside.join(usual)))
            .filter(|path| path.is_absolute())
            .ok_or_else(|| format!("{key} must be an absolute path"))
    };
    let downloads = folder("directory", "tars")?;
    let uploads = folder("uploadDirectory", "tars.upload")?;
    own.log.write(&format!(
        "INFO|uploads in {}, downloads from {}",
        uploads.display(),
        downloads.display()
    ));
    let servant: Arc<dyn Servant> = Arc::new(PatchObj {
        own,
        downloads,
        uploads,
    });
    Ok(vec![(PATCH.to_owned(), servant)])
}

/// A path below `root`, with no way out of it.
fn below(root: &Path, parts: &[&str]) -> Option<PathBuf> {
    let mut path = root.to_path_buf();
    for part in parts {
        for component in Path::new(part.trim_start_matches('/')).components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::CurDir => {}
                _ => return None,
            }
        }
    }
    Some(path)
}

/// The digest of a file, in lower case.
pub(super) fn md5_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = md5::Context::new();
    let mut part = vec![0u8; 64 * 1024];
    loop {
        match file.read(&mut part)? {
            0 => return Ok(format!("{:x}", context.finalize())),
            read => context.consume(&part[..read]),
        }
    }
}

fn info(path: &Path, name: String) -> Option<FileInfo> {
    let meta = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(FileInfo {
        path: name,
        size: i32::try_from(meta.len()).unwrap_or(i32::MAX),
        executable: meta.permissions().mode() & 0o111 != 0,
        md5: md5_of(path).ok()?,
    })
}

impl PatchObj {
    /// 1 for a file, 0 for a folder with all that is in it.
    fn list(&self, path: &str) -> (i32, Vec<FileInfo>) {
        let Some(full) = below(&self.downloads, &[path]) else {
            return (-1, Vec::new());
        };
        if !full.is_dir() {
            let name = full.file_name().unwrap_or_default().to_string_lossy();
            return (1, info(&full, name.into_owned()).into_iter().collect());
        }
        let mut found = Vec::new();
        let mut folders = vec![full.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let inner = entry.path();
                if inner.is_dir() {
                    folders.push(inner);
                } else if let Ok(name) = inner.strip_prefix(&full) {
                    found.extend(info(&inner, format!("/{}", name.display())));
                }
            }
        }
        (0, found)
    }

    /// 0 for a part, 1 where there is no more.
    fn download(&self, path: &str, from: i32) -> (i32, Vec<u8>) {
        let mut part = Vec::new();
        let Some(full) = below(&self.downloads, &[path]) else {
            return (-1, part);
        };
        let read = File::open(full).and_then(|mut file| {
            file.seek(SeekFrom::Start(u64::try_from(from).unwrap_or_default()))?;
            file.take(PART).read_to_end(&mut part)
        });
        if read.is_err() {
            return (-1, Vec::new());
        }
        if let Some(byte) = part.first_mut()
            && self.own.lies.tells(Lie::Garbled)
        {
            *byte ^= 0xff;
        }
        (i32::from(part.is_empty()), part)
    }

    /// Copies an upload to the one place from which nodes take the server's package.
    fn prepare(&self, application: &str, server: &str, file: &str) -> (i32, String) {
        let outside = || (-1, "path is not allowed!".to_owned());
        let Some(from) = below(&self.uploads, &[application, server, file]) else {
            return outside();
        };
        let Some(folder) = below(&self.downloads, &[BATCH, application, server]) else {
            return outside();
        };
        if fs::create_dir_all(&folder).is_err() {
            return (-2, format!("mkdir dir: {} error!", folder.display()));
        }
        if !from.is_file() {
            return (-1, format!("{} not exists!", from.display()));
        }
        let to = folder.join(format!("{application}.{server}.tgz"));
        // Whoever downloads another package of this server meanwhile has parts of both.
        let _ = fs::remove_file(&to);
        // Uploads have names of their own and are not written to again, so a link does as well.
        match fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)) {
            Ok(()) => (0, String::new()),
            Err(error) => (-3, format!("copy to {} error: {error}", to.display())),
        }
    }

    fn upload(&self, application: &str, server: &str, part: &FileContent) -> i32 {
        let Some(folder) = below(&self.uploads, &[application, server]) else {
            return -1;
        };
        let Some(file) = below(&folder, &[&part.name]) else {
            return -2;
        };
        if fs::create_dir_all(&folder).is_err() {
            return -1;
        }
        if md5_of(&file).is_ok_and(|md5| md5 == part.md5) {
            return 1;
        }
        let mut options = File::options();
        if part.first {
            options.write(true).truncate(true);
        } else {
            options.append(true);
        }
        let written = options
            .create(true)
            .open(&file)
            .and_then(|mut file| file.write_all(&part.content.0));
        if written.is_err() {
            return -2;
        }
        // The file stays whatever is wrong with it.
        if part.last && !md5_of(&file).is_ok_and(|md5| md5 == part.md5) {
            return -3;
        }
        0
    }
}

impl Servant for PatchObj {
    fn call(&self, _caller: &Caller, request: &Request) -> Outcome {
        let mut arguments = Arguments::of(request)?;
        Ok(Reply::Body(match request.function.as_str() {
            "listFileInfo" => {
                let path: String = arguments.get(1)?;
                let (ret, files) = self.list(&path);
                body(|w| {
                    w.put(0, &ret);
                    w.put(2, &files);
                })
            }
            "download" => {
                let path: String = arguments.get(1)?;
                let (ret, part) = self.download(&path, arguments.get(2)?);
                body(|w| {
                    w.put(0, &ret);
                    w.put(3, &Bytes(part));
                })
            }
            "preparePatchFile" => {
                let of: [String; 3] = [arguments.get(1)?, arguments.get(2)?, arguments.get(3)?];
                let (ret, words) = self.prepare(&of[0], &of[1], &of[2]);
                self.own
                    .log
                    .write(&format!("INFO|prepare {} is {ret} {words}", of.join(" ")));
                body(|w| {
                    w.put(0, &ret);
                    w.put(4, &words);
                })
            }
            "deletePatchFile" => {
                let of: [String; 3] = [arguments.get(1)?, arguments.get(2)?, arguments.get(3)?];
                let gone = below(&self.uploads, &[&of[0], &of[1], &of[2]])
                    .is_some_and(|file| fs::remove_file(file).is_ok());
                body(|w| w.put(0, &if gone { 0 } else { -1 }))
            }
            "upload" => {
                let (application, server): (String, String) =
                    (arguments.get(1)?, arguments.get(2)?);
                let part: FileContent = arguments.get(3)?;
                let ret = self.upload(&application, &server, &part);
                body(|w| w.put(0, &ret))
            }
            _ => return Ok(Reply::NoFunction),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_its_folder() {
        let root = Path::new("/a");
        let ok = below(root, &["/TARSBatchPatching/tars", "./x.tgz"]);
        assert_eq!(ok, Some(PathBuf::from("/a/TARSBatchPatching/tars/x.tgz")));
        assert_eq!(below(root, &["x/../../y"]), None);
        assert_eq!(below(root, &["..", "y"]), None);
    }
}
