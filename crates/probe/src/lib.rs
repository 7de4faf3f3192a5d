//! Looking at hosts: one script, one framed answer, an inventory
