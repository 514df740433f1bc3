"""Contexts that never go cold: the registry, their bindings, and how they are healed."""
