"""Every test of the edge has a shop in memory to ask, and a door to it if it needs one."""

from tests.api.doorway import door
from tests.api.shopfront import shop

__all__ = ["door", "shop"]
