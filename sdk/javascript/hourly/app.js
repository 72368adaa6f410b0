// A forecaster in JavaScript: every hour of the day has its usual load.
//
// The interface is columnar and batched (wit/0.2/forecaster.wit); this file is all there is between it and a
// model of twenty lines. A series that fails, fails alone. States are bytes that the host keeps: 24 means and
// variances, the instant of the next row. Instants and seeds are BigInts, columns are typed arrays.

const NAME = 'hourly-javascript';
const VERSION = '0.1.0';
const FORMAT = 1;
const HOURS = 24;
// Next row (ms), weight seen; then mean and variance per hour.
const STATE = 8 * (2 + 2 * HOURS);
const SCHEMA = {
  type: 'object',
  additionalProperties: false,
  properties: {
    alpha: {
      description: "How much of its last error an hour's mean is moved by.",
      type: 'number',
      exclusiveMinimum: 0,
      maximum: 1,
      default: 0.1,
    },
  },
};

/** What a policy may answer instead: thrown as it stands, a string among the cases of `policy-error`. */
class Refusal {
  constructor(tag, val) {
    this.payload = { tag, val };
  }
}

const invalid = (text) => new Refusal('invalid-input', text);
const notFitted = (text) => new Refusal('not-fitted', text);

/** The config, checked by hand: the host has checked it against the schema, a test may not have. */
function parsed(config) {
  let keys;
  try {
    keys = JSON.parse(config);
  } catch (problem) {
    throw invalid(`config is not JSON: ${problem.message}`);
  }
  if (keys === null || typeof keys !== 'object' || Array.isArray(keys)) {
    throw invalid('config is not a JSON object: write {} for the defaults');
  }
  for (const key of Object.keys(keys)) {
    if (key !== 'alpha') throw invalid(`config.${key}: unknown key; there is alpha`);
  }
  const alpha = keys.alpha ?? 0.1;
  if (typeof alpha !== 'number' || !(alpha > 0 && alpha <= 1)) {
    throw invalid('config.alpha: must be a number above 0 and at most 1');
  }
  return alpha;
}

const hour = (instant) => Math.floor(instant / 3_600_000) % HOURS;

/** Quantile of the standard normal: Acklam's rational approximation, of which 1e-9 is enough here. */
function normal(p) {
  const a = [-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239];
  const b = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572];
  const c = [-0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783];
  const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416];
  const poly = (k, x) => k.reduce((sum, k) => sum * x + k, 0);
  if (p > 0.5) return -normal(1 - p);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return poly(c, q) / (poly(d, q) * q + 1);
  }
  const q = p - 0.5;
  const r = q * q;
  return (poly(a, r) * q) / (poly(b, r) * r + 1);
}

/** What is known of one series. */
class Series {
  constructor(following) {
    this.following = following;
    this.seen = 0;
    this.hours = new Float64Array(2 * HOURS);
  }

  static read(bytes) {
    if (bytes.length !== STATE) throw notFitted('the state is not one of this module');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const at = (i) => view.getFloat64(8 * i, true);
    const series = new Series(at(0));
    series.seen = at(1);
    series.hours = series.hours.map((_, i) => at(2 + i));
    const all = [series.following, series.seen, ...series.hours];
    if (!all.every(Number.isFinite)) throw notFitted('the state is damaged');
    return series;
  }

  write() {
    const bytes = new Uint8Array(STATE);
    const view = new DataView(bytes.buffer);
    [this.following, this.seen, ...this.hours].forEach((n, i) => view.setFloat64(8 * i, n, true));
    return bytes;
  }

  /** Takes rows one by one; null is a step that nobody measured. */
  follow(values, step, alpha) {
    for (const value of values) {
      const at = 2 * hour(this.following);
      this.following += step * 1000;
      if (value === null) continue;
      if (this.seen === 0) for (let h = 0; h < HOURS; h++) this.hours[2 * h] = value;
      this.seen += 1;
      const error = value - this.hours[at];
      this.hours[at] += alpha * error;
      this.hours[at + 1] += alpha * (error * error - this.hours[at + 1]);
    }
  }

  /** Means and quantiles of the steps that follow. */
  grid(step, steps, levels) {
    const scores = Array.from(levels, (level) => normal(level / 10_000));
    const mean = [];
    const quantiles = [];
    for (let ahead = 0; ahead < steps; ahead++) {
      const at = 2 * hour(this.following + ahead * step * 1000);
      const centre = this.hours[at];
      const spread = Math.sqrt(Math.max(this.hours[at + 1], 0));
      mean.push(Math.max(centre, 0));
      for (const score of scores) quantiles.push(Math.max(centre + spread * score, 0));
    }
    return { mean, quantiles };
  }
}

/** Values of one series, null where the bitmap says that nothing was measured. */
function rows(frames, i) {
  const gap = frames.missing;
  const values = [];
  for (let row = frames.offsets[i]; row < frames.offsets[i + 1]; row++) {
    const lacks = gap.length > 0 && (gap[row >> 3] >> (row & 7)) & 1;
    values.push(lacks ? null : frames.values[row]);
  }
  return values;
}

function slices(states) {
  if (states.format !== FORMAT) {
    throw notFitted(`states of format ${states.format}; this version reads ${FORMAT} alone: fit anew`);
  }
  const slices = [];
  for (let i = 0; i + 1 < states.offsets.length; i++) {
    slices.push(states.bytes.slice(states.offsets[i], states.offsets[i + 1]));
  }
  return slices;
}

// The alphabet of JSON numbers and keys is ASCII, so no encoder is needed.
const bytesOf = (text) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const textOf = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');

function modelOf(model) {
  try {
    const { step, alpha } = JSON.parse(textOf(model));
    if (!(step > 0 && alpha > 0 && alpha <= 1)) throw new Error('out of range');
    return { step, alpha };
  } catch {
    throw notFitted('the model is not one of this module');
  }
}

/** One series at a time; what one throws is its own status. */
function each(count, work) {
  const results = [];
  for (let i = 0; i < count; i++) {
    try {
      results.push({ value: work(i), status: { tag: 'ok' } });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      results.push({ status: { tag: 'failed', val: error.payload } });
    }
  }
  return results;
}

/** States one after another; nothing of a series that has none. */
function blobs(states) {
  const offsets = [0];
  const bytes = [];
  for (const state of states) {
    if (state) bytes.push(...state);
    offsets.push(bytes.length);
  }
  return { format: FORMAT, offsets: Uint32Array.from(offsets), bytes: Uint8Array.from(bytes) };
}

/** What was learned, with how each series fared. */
function joined(model, results) {
  const states = blobs(results.map(({ value }) => value));
  return { model, states, status: results.map(({ status }) => status) };
}

/** The rows that follow what a series knows are taken. */
function followed(series, frames, i, step, alpha) {
  if (Number(frames.starts[i]) !== series.following) {
    throw invalid(`the rows begin at ${frames.starts[i]}, not at ${series.following}`);
  }
  series.follow(rows(frames, i), step, alpha);
  return series;
}

/** What a series will be. */
function ahead(series, horizon, i) {
  if (Number(horizon.starts[i]) !== series.following) {
    throw invalid(`the horizon begins at ${horizon.starts[i]}, not at ${series.following}`);
  }
  return series.grid(horizon.step, horizon.steps, horizon.levels);
}

/** One grid after another; zeros where a series has none. */
function grids({ steps, levels }, results) {
  const nothing = { mean: Array(steps).fill(0), quantiles: Array(steps * levels.length).fill(0) };
  const all = (key) => Float64Array.from(results.flatMap(({ value }) => (value ?? nothing)[key]));
  return { mean: all('mean'), quantiles: all('quantiles'), status: results.map(({ status }) => status) };
}

/** That frames, and a horizon, are of the step that was fitted, and of as many series as there are states. */
function fits(what, { step }, fitted, series, states) {
  if (step !== fitted) {
    throw invalid(`${what}.step is ${step} seconds, and ${fitted} was fitted: fit anew`);
  }
  if (series.length !== states.length) {
    throw invalid(`${states.length} states for ${series.length} series`);
  }
}

export const forecasting = {
  describe() {
    const configSchema = JSON.stringify(SCHEMA);
    return { name: NAME, version: VERSION, kind: 'forecaster', configSchema, stateFormat: FORMAT };
  },

  fit(config, base, frames) {
    const alpha = parsed(config);
    const { step } = frames;
    const results = each(frames.signals.length, (i) => {
      const series = new Series(Number(frames.starts[i]));
      series.follow(rows(frames, i), step, alpha);
      if (series.seen === 0) throw new Refusal('insufficient-data', { have: 0, need: 1 });
      return series.write();
    });
    return joined(bytesOf(JSON.stringify({ step, alpha })), results);
  },

  update(model, states, frames) {
    const { step, alpha } = modelOf(model);
    const known = slices(states);
    fits('frames', frames, step, frames.signals, known);
    const move = (i) => followed(Series.read(known[i]), frames, i, step, alpha).write();
    return joined(model, each(known.length, move));
  },

  predict(model, states, horizon) {
    const { step } = modelOf(model);
    const known = slices(states);
    fits('horizon', horizon, step, horizon.starts, known);
    return grids(horizon, each(known.length, (i) => ahead(Series.read(known[i]), horizon, i)));
  },

  advance(model, states, news, horizon) {
    const { step, alpha } = modelOf(model);
    const known = slices(states);
    fits('news', news, step, news.signals, known);
    fits('horizon', horizon, step, horizon.starts, known);
    const moved = Array(known.length);
    const results = each(known.length, (i) => {
      const series = followed(Series.read(known[i]), news, i, step, alpha);
      const grid = ahead(series, horizon, i);
      moved[i] = series.write();
      return grid;
    });
    return { states: blobs(Array.from(moved)), forecasts: grids(horizon, results) };
  },

  migrate(model, states) {
    modelOf(model);
    if (states.format !== FORMAT) {
      throw new Refusal('unsupported', `states of format ${states.format}; this version reads ${FORMAT} alone`);
    }
    return { model, states, status: Array.from({ length: states.offsets.length - 1 }, () => ({ tag: 'ok' })) };
  },
};
