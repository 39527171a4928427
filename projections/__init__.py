"""What the shop can be asked about: read models, folded from the journal and rebuilt from it at any time."""
