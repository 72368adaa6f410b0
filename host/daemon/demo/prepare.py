#!/usr/bin/env python3
"""Makes traces.csv, the demo's load, from public series. Standard library only.

    python3 prepare.py DATA_FOLDER            writes traces.csv beside this script
    python3 prepare.py --report               tells peaks and pool sizes of the traces.csv here

DATA_FOLDER holds one CSV per source with the header `timestamp,value` (epoch seconds, one row a
minute, a missing minute is a missing row), in the files that TRACES names. README.md and NOTICE
say where each comes from.

Every window lasts nine days and starts on a Wednesday at 00:00 of the source's own clock, so the
traces share the phase of the day and the day of the week although they were recorded in different
years. Two start some hours earlier, which moves their tide later by as many hours: `feed` by 8
(users of another region) and `export` by 12 (a job of the night). A step's value is the mean of the minutes that it has, times the trace's scale. A step with
no minute at all takes the value of one day before, or, on the first day, lies on the line between
its neighbours. Nothing else is changed: no smoothing, no clipping.
"""

import csv
import datetime
import pathlib
import sys

STEP_S = 300
DAYS = 9
HISTORY_DAYS = 7
STEPS_PER_DAY = 86_400 // STEP_S
STEPS = DAYS * STEPS_PER_DAY
HERE = pathlib.Path(__file__).resolve().parent

# api: (file in DATA_FOLDER, start of the window on the source's clock, factor from the source's unit
# to requests per second)
TRACES = {
    "orders": ("rate_1min/ms_ingress_04.csv", "2018-04-25T00:00", 0.001),
    "tickets": ("rate_1min/worldcup98.csv", "1998-06-17T00:00", 1 / 60),
    "catalog": ("rate_1min/ms_mongo_app_01.csv", "2018-04-25T00:00", 0.1),
    "search": ("resource_1min/crane_09.csv", "2021-10-13T00:00", 0.2),
    "feed": ("resource_1min/crane_12.csv", "2021-10-12T16:00", 50.0),
    "export": ("resource_1min/crane_02.csv", "2021-10-12T12:00", 0.1),
}


def window(path, begin):
    """The nine days from `begin` on as means per step, None where a step has no minute."""
    start = int(datetime.datetime.fromisoformat(begin + ":00+00:00").timestamp())
    sums, counts = [0.0] * STEPS, [0] * STEPS
    with open(path, newline="", encoding="ascii") as source:
        rows = csv.reader(source)
        header = next(rows)
        if header != ["timestamp", "value"]:
            sys.exit(f"{path}: expected the header timestamp,value and found {header}")
        for timestamp, value in rows:
            step = (int(float(timestamp)) - start) // STEP_S
            if 0 <= step < STEPS:
                sums[step] += float(value)
                counts[step] += 1
    return [s / n if n else None for s, n in zip(sums, counts)]


def filled(values, name):
    """`values` without gaps: the same step one day before, else linear between neighbours."""
    known = [i for i, v in enumerate(values) if v is not None]
    if not known:
        sys.exit(f"{name}: the source has no row inside the window")
    filled_in = list(values)
    for i, value in enumerate(values):
        if value is not None:
            continue
        if i >= STEPS_PER_DAY:
            filled_in[i] = filled_in[i - STEPS_PER_DAY]
            continue
        left = max((k for k in known if k < i), default=None)
        right = min((k for k in known if k > i), default=None)
        if left is None or right is None:
            filled_in[i] = values[right if left is None else left]
        else:
            share = (i - left) / (right - left)
            filled_in[i] = values[left] * (1 - share) + values[right] * share
    return filled_in


def digits(rate):
    """Few digits: a tenth of a request per second, whole ones from a thousand on."""
    return f"{rate:.0f}" if rate >= 1000 else f"{rate:.1f}".removesuffix(".0")


def write(folder):
    columns = []
    for api, (file, begin, scale) in TRACES.items():
        values = window(folder / file, begin)
        missing = sum(v is None for v in values)
        columns.append([v * scale for v in filled(values, api)])
        print(f"{api}: {file} from {begin}, x {scale:.6g}, {missing} of {STEPS} steps filled in")
    with open(HERE / "traces.csv", "w", newline="", encoding="ascii") as out:
        out.write("offset_s," + ",".join(TRACES) + "\n")
        for step, rates in enumerate(zip(*columns)):
            out.write(f"{step * STEP_S}," + ",".join(map(digits, rates)) + "\n")


def report():
    with open(HERE / "services.csv", newline="", encoding="ascii") as table:
        services = {row["api"]: row for row in csv.DictReader(table)}
    with open(HERE / "traces.csv", newline="", encoding="ascii") as table:
        rows = list(csv.DictReader(table))
    live = rows[HISTORY_DAYS * STEPS_PER_DAY :]
    cores = {a: [float(r[a]) * float(services[a]["cpu_s"]) for r in live] for a in TRACES}
    print("api      tier    rate: week's mean, live mean, live peak   cores: mean, peak   peak of each live day")
    for api in TRACES:
        week = [float(r[api]) for r in rows[: HISTORY_DAYS * STEPS_PER_DAY]]
        now = [float(r[api]) for r in live]
        peaks = []
        for day in range(DAYS - HISTORY_DAYS):
            of_day = now[day * STEPS_PER_DAY : (day + 1) * STEPS_PER_DAY]
            at = max(range(STEPS_PER_DAY), key=of_day.__getitem__) * STEP_S
            peaks.append(f"{at // 3600:02}:{at % 3600 // 60:02}")
        print(
            f"{api:8} {services[api]['tier']:7} {mean(week):9.1f} {mean(now):9.1f} {max(now):9.1f}"
            f"   {mean(cores[api]):5.2f} {max(cores[api]):5.2f}   {' '.join(peaks)}"
        )
    total = [sum(at) for at in zip(*cores.values())]
    of_sum, of_parts = max(total), sum(max(c) for c in cores.values())
    at = total.index(of_sum) * STEP_S
    print(
        f"summed demand: mean {mean(total):.2f} cores, peak {of_sum:.2f} on live day {at // 86_400 + 1} "
        f"at {at % 86_400 // 3600:02}:{at % 3600 // 60:02}; sum of peaks {of_parts:.2f}, ratio {of_parts / of_sum:.2f}"
    )
    for share in (0.75, 0.80, 0.85):
        over = sum(t > share * of_sum for t in total) * STEP_S // 60
        print(f"pool of {share:.0%} of the peak = {share * of_sum:.1f} cores: demand above it for {over} of 2880 minutes")


def mean(values):
    return sum(values) / len(values)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--report":
        report()
    else:
        write(pathlib.Path(sys.argv[1]))
