"""How fast it is, measured beside what one would use instead, in the same run on the same PostgreSQL.

A bench starts servers of its own in a scratch directory, warms up, measures, checks that what it measured is right and
says how it compares. Absolute figures are of one machine on one day; the ratios are what can be compared.
"""
