"""The ledger's rules a second time, from SPEC.md and the parameter table alone."""
