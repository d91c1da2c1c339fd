"""The globals of the sources that classes were loaded from; no source sees them."""

from typing import Any
from weakref import WeakKeyDictionary

NAMESPACES: WeakKeyDictionary[type, dict[str, Any]] = WeakKeyDictionary()
"""By the class of the rule."""
