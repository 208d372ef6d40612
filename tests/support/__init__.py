"""What the tests share.

project, refusals, processes  copies of the project, and the commands that run in them
params                        sections of params.yaml, with changes
engines                       the fake model, as a stage has it; the engine on a store
adapters                      LoRAs for the packaged model, drawn at random
server, faults, batches       the fake server: HTTP, what breaks its rules, the batch API
growing, counted              what answers behind it: every stage's model; the real one, counted
stores, tracing, plain_rouge  what several modules write, look at or compare with
snapshots                     what is printed for people, in tests/snapshots
training                      a training of a tiny model
killed_run, crashing_runs, lone_server
                              processes of their own: `python -m support.…`
"""
