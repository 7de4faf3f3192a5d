//! A certificate for the server, by an authority of its own: what signs must not be what serves, or
//! careful clients refuse it.

use std::fs;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{MariaDbError, io, program};

/// Makes an authority and, by it, a certificate for the server's address.
pub(super) fn make(folder: &Path, ip: IpAddr) -> Result<(), MariaDbError> {
    const NEW_KEY: [&str; 7] = [
        "req",
        "-batch",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    let extensions = format!("subjectAltName=IP:{},DNS:localhost\n", ip);
    fs::write(folder.join("names"), extensions).map_err(io("write the certificate's names"))?;
    let authority = ["-x509", "-days", "30", "-subj", "/CN=standin authority"];
    let openssl = |arguments: &[&str]| -> Result<(), MariaDbError> {
        let program = program("openssl").ok_or(MariaDbError::Missing("openssl"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io("make a certificate"))?;
        let mut said = String::new();
        if let Some(stderr) = &mut child.stderr {
            let _ = stderr.read_to_string(&mut said);
        }
        match child.wait().map_err(io("make a certificate"))?.success() {
            true => Ok(()),
            false => Err(MariaDbError::Failed {
                what: "make a certificate",
                said,
            }),
        }
    };
    openssl(
        &[
            &NEW_KEY[..],
            &authority,
            &["-keyout", "ca.key", "-out", "ca.pem"],
        ]
        .concat(),
    )?;
    let request = [
        "-subj",
        "/CN=standin",
        "-keyout",
        "key.pem",
        "-out",
        "request.pem",
    ];
    openssl(&[&NEW_KEY[..], &request].concat())?;
    openssl(&[
        "x509",
        "-req",
        "-in",
        "request.pem",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "30",
        "-extfile",
        "names",
        "-out",
        "cert.pem",
    ])
}
