"""CPU, latency and memory of the daemon beside the official SDKs and a raw byte reader, in one run."""
