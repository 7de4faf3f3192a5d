//! Test hosts and stand-in Tars processes on this machine
