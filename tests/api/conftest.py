"""Every test of the edge has a shop in memory to ask, and a door to it or a wire if it needs one."""

from tests.api.doorway import door
from tests.api.shopfront import shop
from tests.api.wire import wire

__all__ = ["door", "shop", "wire"]
