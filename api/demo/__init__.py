"""``livetill demo``: real orders of a real shop, played as shows over the HTTP API.

``rows`` reads the file, ``plan`` makes shows of it and ``matching`` finds what a cancellation takes back; all three are
pure. ``server`` starts a shop, ``shop`` speaks to it over HTTP, ``show`` plays the plan, ``tally`` and ``report`` say
how it went, ``screen`` shows it.
"""
