//! Peers that misbehave, over real sockets.
