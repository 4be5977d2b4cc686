"""Analysis of finished runs: statistics, figures and an HTML page (`limae-jax report`), animated battles (`render`).

Only `battle` and `render` need jax; a report does not.
"""
