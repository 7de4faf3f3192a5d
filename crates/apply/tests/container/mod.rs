//! The replacement of a framework container, on a real engine in a test host: over ssh, with images that
//! have the files and the manners of the framework's, killed at its lines, and with every fault of hosts
//! and engines that an operator meets.
//!
//! What must stay true after every fault: one container of the name, old or new, that runs what it should,
//! and whose policy is as it should be; the other one does not start by itself; nothing of ours is left in
//! the crontab; and a container that may drop databases was not touched.

mod composed;
mod executor;
mod faults;
mod lines;
mod story;
mod world;
