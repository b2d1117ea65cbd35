"""Facts of TFLite operators: attributes under common names, NHWC layout. Source: TFLite schema (schema.fbs)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from whichpu.graphs.facts import Facts

FACTS: Mapping[str, Callable[[Facts], Any]] = {}
