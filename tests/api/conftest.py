"""Every test of the edge has a shop in memory to ask."""

from tests.api.shopfront import shop

__all__ = ["shop"]
