"""The ledger as it stands on the disk: the store, and what is on its way there in journals. Nothing on the disk changes."""

import sqlite3
from pathlib import Path

from modeld.ledger.journal import SUFFIX, decode_records
from modeld.ledger.posting import statement_of
from modeld.ledger.store import FILE_NAME


def ledger_on_disk(state_dir: Path) -> sqlite3.Connection:
    """A copy in memory, as a daemon that started now would see it; close it."""
    journals = [path.read_bytes() for path in sorted(state_dir.glob(f"*{SUFFIX}"))]  # before the store: nothing is missed
    copy = sqlite3.connect(":memory:", isolation_level=None)
    store = sqlite3.connect(f"file:{state_dir / FILE_NAME}?mode=ro", uri=True)
    try:
        store.backup(copy)
    finally:
        store.close()
    for data in journals:
        for record in decode_records(data):
            statement = statement_of(record)
            assert statement is not None, record
            copy.execute(*statement)
    return copy
