"""Seedbed: a few hand-written tasks → instruction-tuning data, every row with its way back.

The floors, from the ground up; each imports only those before it:

    errors              what everybody raises; every other error stands beside its raiser
    core                what stages of different methods share: a change here runs all of them again
    llm                 asks a model and keeps every answer; knows no stage
    runs                what DVC and git recorded of a run
    tasks               tasks in Natural Instructions' form, and answers scored against references
    self_instruct, …    the methods, one folder each, listed in `methods`: none imports another
    params              params.yaml, put together of the methods' sections
    views               estimate, trace, doctor, report, export, preset: they shape no result
    cli                 the commands
"""
