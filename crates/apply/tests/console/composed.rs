//! The scripts as they are sent, and what they may never hold.

use super::super::*;
use crate::replaced::{place, run_id};
use crate::scripts::host::composed::read_by_all;
use crate::scripts::{console_files, replace_console};

use tarsops_model::digest::Digest;
use tarsops_model::names::{AbsPath, UserName};

/// An update that a host of these tests could be asked for.
pub(crate) fn change() -> ConsoleChange {
    let path = |p: &str| AbsPath::new(p).unwrap();
    ConsoleChange {
        folder: path("/usr/local/app/web"),
        old_version: "3.0.14".to_owned(),
        version: "3.0.15".to_owned(),
        new: NewConsole::Release {
            archive: Digest::of(b"archive"),
            strip: 1,
            space: 1 << 20,
        },
        configuration: vec![Configuration {
            path: "config/webConf.js".to_owned(),
            before: Some(Digest::of(b"old")),
            after: Some(FileText::new("password: 's3cret'\n")),
        }],
        node: path("/usr/bin/node"),
        pm2: None,
        pm2_name: "tars-node-web".to_owned(),
        user: UserName::new("root").unwrap(),
        old_supervisor: Supervisor::Pm2,
        supervisor: Supervisor::Pm2,
        old_port: 3000,
        port: 3000,
        settle: 0,
        deadline: 20,
        stop_timeout: 5,
        retired: 2,
        summary: "console: to 3.0.15".to_owned(),
    }
}

fn scripts(change: &ConsoleChange) -> Result<Vec<(&'static str, String)>, BadConsole> {
    let (place, run) = (place(), run_id(1));
    let launch = ConsoleLaunch {
        place: &place,
        run: &run,
        step: "s",
        change,
        holder: "me",
        intent: "{}",
        expires: None,
    };
    let mut all = vec![("launch", replace_console(&launch)?)];
    let files = console_files(&launch).into_iter();
    all.extend(files.filter(|f| !["intent", "files"].contains(&f.0)));
    Ok(all)
}

#[test]
fn every_script_passes_shellcheck_and_every_shell_reads_it() {
    let all = scripts(&change()).unwrap();
    let text = |name: &str| all.iter().find(|s| s.0 == name).unwrap().1.as_str();
    let whole = format!("{}{}{}", text("tree.sh"), text("env"), text("change.sh"));
    read_by_all([("change", whole), ("launch", text("launch").to_owned())]);
}

/// It is a word of the launching script, which goes over a pipe, and a staged file for root only.
#[test]
fn the_configuration_is_in_no_other_file_of_a_change() {
    for (name, text) in scripts(&change()).unwrap() {
        assert_eq!(text.contains("s3cret"), name == "launch", "{name}");
    }
    assert!(!format!("{:?}", change()).contains("s3cret"));
}

#[test]
fn what_makes_no_sense_is_not_asked_for() {
    let refused = |edit: &dyn Fn(&mut ConsoleChange)| {
        let mut change = change();
        edit(&mut change);
        scripts(&change).map(drop).unwrap_err().to_string()
    };
    let path = |p: &str| AbsPath::new(p).unwrap();
    assert_eq!(
        refused(&|c| c.version = "3.0;reboot".to_owned()),
        "`3.0;reboot` is no version of a console"
    );
    for file in ["../etc/passwd", "/etc/passwd", "config//x", "config/a b"] {
        let said = refused(&|c| c.configuration[0].path = file.to_owned());
        assert!(
            said.ends_with("is no file of a console's configuration"),
            "{said}"
        );
    }
    for folder in [
        "/etc",
        "/usr/local/app/web.old-",
        "/usr/local/app/web.old-1/../..",
    ] {
        if let Ok(folder) = AbsPath::new(folder) {
            let said = refused(&|c| c.new = NewConsole::Back(folder.clone()));
            assert!(
                said.contains("is no folder of a console that was replaced"),
                "{said}"
            );
        }
    }
    let mut back = change();
    back.new = NewConsole::Back(path(&format!("/usr/local/app/web.old-{}", run_id(7))));
    scripts(&back).unwrap();
}
