"""The modeld protocol: every type that travels between a client and the daemon, and the framing it travels in."""

PROTOCOL_VERSION = 1
PROTOCOL_VERSIONS = (1,)
IR_VERSION = 1
