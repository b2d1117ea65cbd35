"""Facts of TVM Relay calls and composites under common names. Source: apache/tvm v0.18.0, relay attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from whichpu.graphs.facts import Facts

FACTS: Mapping[str, Callable[[Facts], Any]] = {}
