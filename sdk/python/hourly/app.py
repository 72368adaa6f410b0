"""A forecaster in Python: every hour of the day has its usual load.

The interface is columnar and batched (wit/0.2/forecaster.wit); this file is all there is between it and
a model of twenty lines. A series that fails, fails alone. States are bytes that the host keeps: 24 means
and variances, the seconds of a step, and the instant of the next row.

Only the standard library is used. numpy can be had for WebAssembly, and costs its megabytes at every
admission.
"""

import json
import math
import struct
from statistics import NormalDist

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.forecasting import (
    Advanced,
    Fitted,
    Forecasts,
    SeriesStatus_Failed,
    SeriesStatus_Ok,
)
from wit_world.imports import types

NAME = "hourly-python"
VERSION = "0.1.0"
FORMAT = 1
HOURS = 24
#: Next row (ms), overall mean, weight seen; then mean and variance per hour.
LAYOUT = struct.Struct("<q2d48d")
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "alpha": {
            "description": "How much of its last error an hour's mean is moved by.",
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1,
            "default": 0.1,
        }
    },
}


def invalid(text):
    return Err(types.PolicyError_InvalidInput(text))


def parsed(config):
    """The config, checked by hand: the host has checked it against the schema, a test may not have."""
    try:
        keys = json.loads(config)
    except ValueError as problem:
        raise invalid(f"config is not JSON: {problem}") from None
    if not isinstance(keys, dict):
        raise invalid("config is not a JSON object: write {} for the defaults")
    for key in keys:
        if key != "alpha":
            raise invalid(f"config.{key}: unknown key; there is alpha")
    alpha = keys.get("alpha", 0.1)
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha <= 1:
        raise invalid("config.alpha: must be a number above 0 and at most 1")
    return float(alpha)


class Series:
    """What is known of one series."""

    def __init__(self, following, level=0.0, seen=0.0, hours=None):
        self.following = following
        self.level = level
        self.seen = seen
        self.hours = hours or [0.0] * (2 * HOURS)

    @classmethod
    def read(cls, data):
        if len(data) != LAYOUT.size:
            raise Err(types.PolicyError_NotFitted("the state is not one of this module"))
        following, level, seen, *hours = LAYOUT.unpack(data)
        if not all(map(math.isfinite, (level, seen, *hours))):
            raise Err(types.PolicyError_NotFitted("the state is damaged"))
        return cls(following, level, seen, hours)

    def write(self):
        return LAYOUT.pack(self.following, self.level, self.seen, *self.hours)

    def follow(self, values, step, alpha):
        """Takes rows one by one; None is a step that nobody measured."""
        for value in values:
            at = 2 * hour(self.following)
            self.following += step * 1000
            if value is None:
                continue
            if self.seen == 0:
                self.level = value
                self.hours[0::2] = [value] * HOURS
            self.seen += 1
            self.level += alpha * (value - self.level)
            error = value - self.hours[at]
            self.hours[at] += alpha * error
            self.hours[at + 1] += alpha * (error * error - self.hours[at + 1])

    def grid(self, step, steps, levels):
        """Means and quantiles of the steps that follow."""
        scores = [NormalDist().inv_cdf(level / 10_000) for level in levels]
        mean, quantiles = [], []
        for ahead in range(steps):
            at = 2 * hour(self.following + ahead * step * 1000)
            centre, spread = self.hours[at], math.sqrt(max(self.hours[at + 1], 0.0))
            mean.append(max(centre, 0.0))
            quantiles += [max(centre + spread * score, 0.0) for score in scores]
        return mean, quantiles


def hour(instant):
    return instant // 3_600_000 % HOURS


def rows(frames, i):
    """Values of one series, None where the bitmap says that nothing was measured."""
    span = range(frames.offsets[i], frames.offsets[i + 1])
    gap = frames.missing
    return [
        None if gap and gap[row // 8] >> (row % 8) & 1 else frames.values[row] for row in span
    ]


def slices(states):
    if states.format != FORMAT:
        text = f"states of format {states.format}; this version reads {FORMAT} alone: fit anew"
        raise Err(types.PolicyError_NotFitted(text))
    bounds = zip(states.offsets, states.offsets[1:])
    return [bytes(states.bytes[a:b]) for a, b in bounds]


def model_of(model):
    try:
        header = json.loads(bytes(model))
        return header["step"], parsed(json.dumps(header["config"]))
    except (ValueError, KeyError, TypeError):
        raise Err(types.PolicyError_NotFitted("the model is not one of this module")) from None


def joined(results):
    """States one after another, with how each series fared."""
    offsets, data, status = [0], b"", []
    for result in results:
        if isinstance(result, bytes):
            data += result
            status.append(SeriesStatus_Ok())
        else:
            status.append(SeriesStatus_Failed(result))
        offsets.append(len(data))
    return types.Blobs(FORMAT, offsets, data), status


def asked(horizon, step, count):
    """A horizon of the step that was fitted, for every series."""
    if horizon.step != step:
        raise invalid(f"horizon.step is {horizon.step} seconds, and {step} was fitted: fit anew")
    if count != len(horizon.starts):
        raise invalid(f"{count} states for {len(horizon.starts)} series")


def ahead(series, horizon, i):
    """What comes after the last row that a series has seen."""
    if horizon.starts[i] != series.following:
        raise invalid(f"the horizon begins at {horizon.starts[i]}, not at {series.following}")
    return series.grid(horizon.step, horizon.steps, horizon.levels)


def grids(horizon, answers):
    """Means and quantiles of all series; zeros and the error of one that failed."""
    mean, quantiles, status = [], [], []
    for answer in answers:
        if isinstance(answer, tuple):
            mean += answer[0]
            quantiles += answer[1]
            status.append(SeriesStatus_Ok())
        else:
            mean += [0.0] * horizon.steps
            quantiles += [0.0] * (horizon.steps * len(horizon.levels))
            status.append(SeriesStatus_Failed(answer))
    return Forecasts(mean, quantiles, status)


def each(count, work):
    """One series at a time; what one raises is its own status."""
    results = []
    for i in range(count):
        try:
            results.append(work(i))
        except Err as error:
            results.append(error.value)
    return results


class Forecasting(exports.Forecasting):
    def describe(self):
        kind = types.ModuleKind.FORECASTER
        return types.Description(NAME, VERSION, kind, json.dumps(SCHEMA), FORMAT)

    def fit(self, config, base, frames):
        alpha = parsed(config)
        header = {"step": frames.step, "config": json.loads(config)}

        def one(i):
            values = rows(frames, i)
            series = Series(frames.starts[i])
            series.follow(values, frames.step, alpha)
            if series.seen == 0:
                raise Err(types.PolicyError_InsufficientData(types.Shortage(0, 1)))
            return series.write()

        states, status = joined(each(len(frames.signals), one))
        return Fitted(json.dumps(header).encode(), states, status)

    def update(self, model, states, frames):
        step, alpha = model_of(model)
        known = slices(states)
        if frames.step != step:
            raise invalid(f"frames.step is {frames.step} seconds, and {step} was fitted: fit anew")
        if len(known) != len(frames.signals):
            raise invalid(f"{len(known)} states for {len(frames.signals)} series")

        def one(i):
            series = Series.read(known[i])
            if frames.starts[i] != series.following:
                raise invalid(f"the rows begin at {frames.starts[i]}, not at {series.following}")
            series.follow(rows(frames, i), step, alpha)
            return series.write()

        moved, status = joined(each(len(known), one))
        return Fitted(bytes(model), moved, status)

    def predict(self, model, states, horizon):
        step, _ = model_of(model)
        known = slices(states)
        asked(horizon, step, len(known))
        return grids(horizon, each(len(known), lambda i: ahead(Series.read(known[i]), horizon, i)))

    def advance(self, model, states, news, horizon):
        step, alpha = model_of(model)
        known = slices(states)
        if news.step != step:
            raise invalid(f"news.step is {news.step} seconds, and {step} was fitted: fit anew")
        if len(known) != len(news.signals):
            raise invalid(f"{len(known)} states for {len(news.signals)} series")
        asked(horizon, step, len(known))
        moved = [b""] * len(known)

        def one(i):
            series = Series.read(known[i])
            if news.starts[i] != series.following:
                raise invalid(f"the news begin at {news.starts[i]}, not at {series.following}")
            series.follow(rows(news, i), step, alpha)
            answer = ahead(series, horizon, i)
            moved[i] = series.write()
            return answer

        forecasts = grids(horizon, each(len(known), one))
        return Advanced(joined(moved)[0], forecasts)

    def migrate(self, model, states):
        model_of(model)
        if states.format != FORMAT:
            text = f"states of format {states.format}; this version reads {FORMAT} alone"
            raise Err(types.PolicyError_Unsupported(text))
        return Fitted(bytes(model), states, [SeriesStatus_Ok()] * (len(states.offsets) - 1))
