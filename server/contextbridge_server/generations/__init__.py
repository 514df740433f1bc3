"""Generations: answers being produced."""
