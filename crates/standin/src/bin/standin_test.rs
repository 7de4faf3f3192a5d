//! The smallest multi-call program: as `tarsnode` with a trailer it is the stand-in agent, with
//! `sandbox-serve DIR` it is the server of an embedded cluster. Tests make their stand-ins from it.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    tarsops_sandbox::standin::maybe_run();
    let args: Vec<_> = std::env::args_os().collect();
    if args.len() == 3 && args[1] == tarsops_sandbox::cluster::SERVE {
        return match tarsops_sandbox::cluster::serve(Path::new(&args[2])) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    ExitCode::from(64)
}
