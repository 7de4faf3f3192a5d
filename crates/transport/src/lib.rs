//! Reaching hosts: SSH sessions that run one script
