"""Wires: pure translation between canonical types and one provider protocol each. No IO, no clock, no chance."""
