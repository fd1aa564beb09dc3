//! End-to-end tests: the real binary, real connectors, stand-ins for the systems.

#![deny(unsafe_code)]
