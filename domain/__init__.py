"""What the shop means: pure deciders over attrs values. No clock, no I/O, no randomness, no float."""
