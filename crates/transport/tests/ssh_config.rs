//! A client configuration beside a spec: nothing in it starts a program, wherever it stands.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use tarsops_transport::ssh::{ConfigRefusal, scan};

fn scanned(text: impl AsRef<[u8]>) -> Result<(), ConfigRefusal> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ssh_config");
    std::fs::write(&file, text).unwrap();
    scan(&file, Some(dir.path()))
}

#[test]
fn what_people_write_is_taken() {
    for text in [
        "",
        "# a comment with $(things) and 'quotes'\n\n",
        "Host *\n  Port 2022\n",
        "Host 10.66.*\n  ProxyJump bastion.example\n",
        "Host a !b\n\tProxyJump ops@bastion.example:2222,10.0.0.9\n",
        "Host *\r\n  User=ops\r\n  Port = 22\r\n",
        "Host *\n  IdentityFile ~/.ssh/%r\n  IdentityAgent none\n  ProxyCommand none\n",
        "Host *\n  ExitOnForwardFailure yes\n  LocalForward 18080 localhost:80\n",
        "Match host 10.0.0.1 user ops\n  LogLevel QUIET\nMatch all\n  ForwardAgent yes\n",
        "Host *\n  Ciphers -*cbc*\n  UserKnownHostsFile \"/k/known hosts\"\n",
        "Host *\n  AddKeysToAgent no\n  IdentityAgent SSH_AUTH_SOCK\n  IdentityAgent \"none\"\n",
        "Include nothing-here\nInclude ~/nor/here\n",
    ] {
        scanned(text).unwrap();
    }
}

#[test]
fn what_could_start_something_is_refused_however_it_is_written() {
    for line in [
        "ProxyCommand touch /tmp/x",
        "proxycommand=touch /tmp/x",
        "  PROXYCOMMAND  =  touch /tmp/x",
        "\tProxyCommand\ttouch /tmp/x",
        "\"ProxyCommand\" touch /tmp/x",
        "\"ProxyCommand touch\"",
        "=ProxyCommand touch",
        " = ProxyCommand touch",
        "Proxy\"Command\" touch",
        "\u{b}ProxyCommand touch",
        "\u{c}ProxyCommand touch",
        "\rProxyCommand touch",
        "\u{feff}ProxyCommand touch",
        "\u{a0}ProxyCommand touch",
        "ProxyCommand none; touch /tmp/x",
        "ProxyCommand none # or not",
        "LocalCommand touch /tmp/x",
        "PermitLocalCommand yes",
        "KnownHostsCommand /bin/touch /tmp/x",
        "Match exec \"touch /tmp/x\"",
        "match host a EXEC touch",
        "Match host=a,exec=touch",
        "Match !exec touch",
        "Match \"exec\" touch",
        "Match something else",
        "PKCS11Provider /tmp/x.so",
        "SmartcardDevice /tmp/x.so",
        "SecurityKeyProvider /tmp/x.so",
        "XAuthLocation /tmp/x",
        "SendEnv *",
        "SetEnv A=b",
        "RemoteCommand touch",
        "ProxyUseFdpass yes",
        "EnableSSHKeysign yes",
        "GSSAPIDelegateCredentials yes",
        "HostName x';touch${IFS}/tmp/x;'",
        "HostName `touch`",
        "HostName $(touch)",
        "HostName -oProxyCommand=touch",
        "User ${GITHUB_TOKEN}",
        "IdentityFile /tmp/${GITHUB_TOKEN}",
        "ProxyJump -oProxyCommand=touch",
        "ProxyJump a,-oProxyCommand=touch",
        "ProxyJump ssh://a",
        "ProxyJump a;touch",
        "Include /tmp/%h",
        "Include /*/x",
        "Include ~root/x",
        "Include \"/tmp/x\"",
        "AddKeysToAgent yes",
        "AddKeysToAgent confirm",
        "AddKeysToAgent 1h",
        "IdentityAgent /tmp/socket",
        "IdentityAgent ~/socket",
        "IdentityAgent $SSH_AUTH_SOCK",
        "IdentityAgent ssh_auth_sock",
        "ControlMaster auto",
        "ControlPath /tmp/socket",
        "ControlPersist yes",
        "VerifyHostKeyDNS yes",
        "SomethingNew yes",
    ] {
        let error = scanned(format!("Host *\n{line}\n")).unwrap_err();
        assert!(
            matches!(error, ConfigRefusal::Line { line: 2, .. }),
            "{line}: {error}"
        );
        let said = error.to_string();
        assert!(!said.contains('\r') && !said.contains('\u{b}'), "{said:?}");
    }
    for text in [
        b"Host *\nUser \xff\n".to_vec(),
        b"User a\0\nPort 1\n".to_vec(),
        format!("#{}ProxyCommand touch\n", " ".repeat(1022)).into_bytes(),
    ] {
        scanned(text).unwrap_err();
    }
}

#[test]
fn included_files_are_read_as_well_and_not_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let home = Some(dir.path());
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    write(".ssh/deep", "Host a\n  ProxyCommand touch /tmp/x\n");
    write("conf.d/10-good", "User ops\n");
    write("conf.d/20-bad.conf", "Include deep\n");
    let good = write("good", "Include ~/conf.d/1*\n");
    scan(&good, home).unwrap();
    let bad = write("bad", "Host *\n  Include ~/conf.d/*.conf\n");
    let error = scan(&bad, home).unwrap_err();
    assert!(
        error.to_string().ends_with(
            ".ssh/deep:2: ProxyCommand can start programs, pass on what is ours or open ports"
        ),
        "{error}"
    );
    let own = write("circle", "Include ~/circle\n");
    let error = scan(&own, home).unwrap_err();
    assert!(error.to_string().contains("too deep"), "{error}");
    for n in 0..100 {
        write(&format!("many/{n}"), "User ops\n");
    }
    let error = scan(&write("all", "Include ~/many/*\n"), home).unwrap_err();
    assert!(error.to_string().contains("too many files"), "{error}");
    let folder = write("folder", "Include ~/many\n");
    assert!(matches!(
        scan(&folder, home),
        Err(ConfigRefusal::Unreadable { .. })
    ));
    assert!(matches!(
        scan(Path::new("/nowhere/config"), home),
        Err(ConfigRefusal::Unreadable { .. })
    ));
}
