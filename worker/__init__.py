"""Everything that knows the database, the object store or Celery. The life of an item, stage by stage:

api_stub.request    parses what the client sent into items
api_stub.submit     submits the items as one batch, and waits for its end
ledger              makes batch, chunks and items durable in one transaction
broker              publishes a message for each chunk
execution           claims the chunk and locks its open items
kinds               carries out each item, by the handler of its kind
blobs               keeps the bytes of contents in the object store
ledger              settles each item, closes the chunk, finishes the batch
broker              notifies the API that the batch has ended
api_stub.response   shapes the answer: the outcome of each item
"""
