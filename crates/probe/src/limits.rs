//! How much of a look is read: ten times what a large host sends, counted on one with 100 servers,
//! 200 network interfaces and 500 listeners. All of it together is at most
//! [`Bounds::LOOK`](tarsops_transport::Bounds::LOOK).

/// Bytes of a word that is a name: of a user, a machine, a file's owner.
pub(crate) const NAME: usize = 256;
/// Bytes of a path, or of a sentence.
pub(crate) const PATH: usize = 8 << 10;
/// Bytes of the agent's configuration, and of each of its scripts.
pub(crate) const FILE: usize = 64 << 10;
/// Bytes of a crontab.
pub(crate) const CRONTAB: usize = 256 << 10;
/// Bytes of the output of a program that lists addresses, listeners, executables or arguments.
pub(crate) const LIST: usize = 512 << 10;

/// Bytes of what an engine says of all its containers, or of images.
pub(crate) const INSPECT: usize = 512 << 10;

/// Containers of one host.
pub(crate) const CONTAINERS: usize = 1024;
/// Network addresses.
pub(crate) const ADDRESSES: usize = 4096;
/// Sockets that listen.
pub(crate) const LISTENERS: usize = 8192;
/// Processes of one kind.
pub(crate) const PROCESSES: usize = 1024;
/// Arguments of a process that are looked at.
pub(crate) const ARGUMENTS: usize = 4096;
/// Other names of one kind: components, tools, files that wait for a change.
pub(crate) const NAMES: usize = 1024;
