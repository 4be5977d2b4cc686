"""What finished runs say: statistics, pictures and a page (`limae-jax report`), battles to look at (`render`).

Only `battle` and `render` need jax; a report is made without it.
"""
