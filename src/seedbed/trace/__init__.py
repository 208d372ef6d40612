"""`seedbed trace`: a row of any output → what it came from."""
