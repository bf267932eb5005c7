"""The socket side: framing, handshake, dispatch, cancellation, back-pressure."""
