"""The first prompts of a stage, answered: in a terminal, or as a page that can be handed on."""
