"""Asking a model, and keeping every answer. The way of a request, from a stage's `ask` and back:

1. contract/request  what is asked, in its canonical form: the key that its answer is kept under
2. engine            looks a window of keys up in store/store; what is not there is to be sent
3. send/sender       claims it, so that no other process asks it too, and hands it to workers
                     (send/crew), in an order that keeps what begins alike together (send/todo)
                     (instead: send/batch, through the provider's batch API, send/batch_api)
4. send/caller       makes calls of it until there is an outcome (contract/wire: their bodies)
5. send/session      lets each wait for its turn: send/ledger (budget), send/limits (how fast);
                     of several servers each has one (send/fleet), and is left out while it fails
                     (send/standing)
6. send/client       posts it through send/transport to serve/endpoint, or by way of send/slot to
                     serve/embedded; what is no answer comes back as a send/setback
7. send/ledger       takes out the API key (redaction), puts the row into the store with what it
                     cost, and writes a line of the log (store/runlog)
8. send/work         reads the row (contract/wire); the engine gives it to the stage, in order

What measures texts (measuring: send/score, send/weigh, send/embed, send/tokens) goes through steps
5 to 7 too. A stage needs contract and params alone, and answers and spool for many rows.
"""
