"""`seedbed estimate`: what a run would ask, before it asks."""
