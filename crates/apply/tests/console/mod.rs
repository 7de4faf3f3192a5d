//! The replacement of a management console, in a test host: over ssh, with a real Node and a real PM2, and a small
//! console that behaves as TarsWeb does where it matters here (`fixtures/console`).
//!
//! What must stay true after every fault: one folder of the console, old or new and whole, with the data that
//! no release brings; a console that runs from it and tells its version; and nothing of ours in the crontab.

mod composed;
mod faults;
mod lines;
mod story;
mod world;
