"""The ledger: batches, chunks and items, from acceptance to report.

`accept` appends, `arrows` changes states (no other module does), `bites`
reads what is to be carried out, `report` reads what became of it.
"""
