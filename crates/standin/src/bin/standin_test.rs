//! The smallest multi-call program: as `tarsnode` with a trailer it is the stand-in agent, with
//! `standin-serve DIR` it is the server of an embedded cluster, and with `standin-container` the
//! entrypoint of a container. Tests make their stand-ins from it.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    tarsops_standin::maybe_run();
    let args: Vec<_> = std::env::args_os().collect();
    if args.len() == 3 && args[1] == tarsops_standin::cluster::SERVE {
        return match tarsops_standin::cluster::serve(Path::new(&args[2])) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    if args.len() == 2 && args[1] == tarsops_standin::container::CONTAINER {
        return tarsops_standin::container::run();
    }
    ExitCode::from(64)
}
