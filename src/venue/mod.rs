//! Venues: each a folder that only translates; sessions, DNS, TLS and sockets are shared.

pub mod sim;
