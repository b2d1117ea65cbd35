"""MLflow: a run for each contender, its figures as metrics, what they stand for as parameters, and the result file.

MLflow's telemetry (on by default from 3.2) is turned off. Source: MLflow's pages "Tracking" and "Usage tracking".
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whichpu import __version__
from whichpu.errors import UserError
from whichpu.results.anything import File
from whichpu.results.entries import Entry
from whichpu.results.exporters.rows import terms
from whichpu.results.exporters.samples import Sampled, sampled

EXPERIMENT = "whichpu"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
PLAIN = re.compile(r"[^\w\-. /]")
"""Characters that MLflow takes in no name."""
PARAMETER_MOST = 6_000


def log(files: Sequence[File], paths: Mapping[str, Path], folder: Path | None) -> list[str]:
    """Log into ``folder``, or where ``MLFLOW_TRACKING_URI`` says; the names of the runs. ``paths`` are the files' by
    their hashes. Raises :class:`UserError`."""
    if folder is None and not os.environ.get("MLFLOW_TRACKING_URI"):
        raise UserError("it is not said where MLflow keeps its runs", "-o FOLDER, or set MLFLOW_TRACKING_URI")
    os.environ.update(QUIET)
    try:
        from mlflow import MlflowClient
    except ImportError as problem:
        raise UserError("MLflow is not installed here", "pip install mlflow-skinny") from problem
    if folder is not None:
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    try:
        client = MlflowClient(tracking_uri=folder.resolve().as_uri() if folder is not None else None)
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found is not None else client.create_experiment(EXPERIMENT)
        return [_logged(client, experiment, each, paths[each.entry.sha256]) for each in sampled(files)]
    except UserError:
        raise
    except Exception as problem:  # whatever a tracking server answers
        raise UserError(f"MLflow: {problem}", "look at MLFLOW_TRACKING_URI, or log into a folder with -o") from problem


def _logged(client: Any, experiment: str, each: Sampled, path: Path) -> str:
    entry, name = each.entry, f"{each.entry.model}, {each.name}"
    run = client.create_run(experiment, run_name=name, tags=_tags(entry))
    number = run.info.run_id
    for key, value in _metrics(entry).items():
        client.log_metric(number, key, value)
    for one in each.rounds:
        if one.steady_ns:
            client.log_metric(number, "round_latency_median", float(np.median(one.steady_ns)), step=one.number + 1)
    for key, text in _parameters(entry).items():
        client.log_param(number, key, text[:PARAMETER_MOST])
    client.log_artifact(number, str(path))
    client.set_terminated(number)
    return name


def _metrics(entry: Entry) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in entry.values.items():
        ends = {"": value.value, "_low": value.low, "_high": value.high}
        found |= {_plain(key + end): number for end, number in ends.items() if number is not None}
    return found


def _parameters(entry: Entry) -> dict[str, str]:
    about = {
        "model": entry.model,
        "contender": entry.contender,
        "device": entry.device,
        "precision": entry.precision,
        "tool": entry.tool,
        "tool_version": entry.tool_version,
        "machine": entry.machine,
    }
    units = {f"unit.{_plain(key)}": value.unit for key, value in entry.values.items()}
    stands = {f"terms.{_plain(key)}": terms(value) for key, value in entry.values.items()}
    return {key: text for key, text in (about | units | stands).items() if text}


def _tags(entry: Entry) -> dict[str, str]:
    told = {"whichpu": __version__, "file": entry.file, "sha256": entry.sha256, "estimated": str(entry.estimated)}
    return told | {f"absent.{_plain(key)}": reason[:PARAMETER_MOST] for key, reason in entry.absent.items()}


def _plain(key: str) -> str:
    return PLAIN.sub("/", key)
