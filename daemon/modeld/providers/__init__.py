"""Provider adapters: one contract, wires as pure translators, providers as rows of data."""
