"""The HTTP skin over the ledger's two verbs, accept and report. It loads no handler."""
