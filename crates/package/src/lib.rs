//! Release packages of Tars components: what is inside, digests, the lock file
