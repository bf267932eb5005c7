"""A provider on loopback that speaks the real wires, from scripts, with faults by name."""
