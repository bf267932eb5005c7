"""The way to a provider and back: connections, frame decoders, retry arithmetic. The only importer of an HTTP library."""
