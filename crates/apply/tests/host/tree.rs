//! What is done to files below the framework's folder, where somebody puts links or keeps files open.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use tarsops_model::digest::Digest;

/// Runs an operation in `folder` with `content` on descriptor 3; whether it says that it was done.
fn tree(folder: &Path, words: &[&str], content: &str) -> bool {
    fs::write(folder.join(".content"), content).unwrap();
    fs::write(folder.join(".tree.sh"), super::super::tree()).unwrap();
    Command::new("timeout")
        .args([
            "20",
            "sh",
            "-c",
            "exec sh -s \"$@\" <.tree.sh 3<.content",
            "sh",
        ])
        .args(words)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn modes_go_through_no_link_and_to_no_file_with_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim");
    fs::write(&victim, "x").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    symlink(&victim, dir.path().join("link")).unwrap();
    fs::hard_link(&victim, dir.path().join("name")).unwrap();
    assert!(!tree(dir.path(), &["mode", "777", "link"], ""));
    assert!(!tree(dir.path(), &["mode", "777", "name"], ""));
    assert_eq!(mode(&victim), 0o600);
    fs::remove_file(dir.path().join("name")).unwrap();
    assert!(tree(dir.path(), &["mode", "640", "victim"], ""));
    assert_eq!(mode(&victim), 0o640);
}

#[test]
fn the_end_of_a_log_is_read_of_plain_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new("mkfifo").arg(dir.path().join("pipe")).status();
    assert!(made.unwrap().success());
    symlink("/etc/passwd", dir.path().join("link")).unwrap();
    fs::write(dir.path().join("plain"), "x\n").unwrap();
    assert!(!tree(dir.path(), &["tail", "1", "pipe"], ""));
    assert!(!tree(dir.path(), &["tail", "1", "link"], ""));
    assert!(tree(dir.path(), &["tail", "1", "plain"], ""));
}

/// Whoever has a file open for writing would keep it, so a file of another owner is replaced. Without
/// root the new one cannot be given away, and then nothing is.
#[test]
fn a_file_of_another_owner_is_not_given_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("start.sh");
    fs::write(&path, "old").unwrap();
    let mut held = File::options().append(true).open(&path).unwrap();
    let digest = Digest::of(b"old").to_string();
    let done = tree(
        dir.path(),
        &["restore", &digest, "755", "54321:54321", "start.sh"],
        "old",
    );
    held.write_all(b" and more").unwrap();
    let owner = fs::metadata(&path).unwrap().uid();
    assert_eq!(done, owner == 54321);
    if done {
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
}

#[test]
fn a_folder_that_is_there_keeps_its_owner_and_a_link_is_not_made_one() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("there")).unwrap();
    let before = fs::metadata(dir.path().join("there")).unwrap().uid();
    assert!(tree(dir.path(), &["folder", "there", "54321:54321"], ""));
    assert_eq!(
        fs::metadata(dir.path().join("there")).unwrap().uid(),
        before
    );
    symlink("there", dir.path().join("link")).unwrap();
    assert!(tree(dir.path(), &["folder", "link", "54321:54321"], ""));
    assert_eq!(
        fs::metadata(dir.path().join("there")).unwrap().uid(),
        before
    );
}
