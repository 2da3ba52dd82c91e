"""Figures beside their goals: each module measures one thing, prints a table and judges nobody."""
