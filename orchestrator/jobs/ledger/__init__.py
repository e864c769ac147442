"""The ledger: the record of jobs in a database, which survives every process that writes to it."""
