"""Talks to a tidegate daemon as any stranger could: grpcio, and stubs made from the .proto files.

Prints one line per thing that worked; the first that does not ends the script with its error.
"""

import argparse
import hashlib
import pathlib
import queue
import sys

import grpc
import grpc_tools
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc

START_MS = 1_767_744_000_000
STEP_S = 300
SECONDS = 60  # bound of every call


def make_stubs(protos: pathlib.Path, stubs: pathlib.Path) -> None:
    """Compiles every .proto file and makes the result importable."""
    stubs.mkdir(parents=True, exist_ok=True)
    files = sorted(str(p.relative_to(protos)) for p in protos.glob("tidegate/v1/*.proto"))
    well_known = str(pathlib.Path(grpc_tools.__file__).parent / "_proto")
    flags = [f"-I{protos}", f"-I{well_known}", f"--python_out={stubs}", f"--grpc_python_out={stubs}"]
    if protoc.main(["protoc", *flags, *files]) != 0:
        sys.exit("the .proto files do not compile")
    sys.path.insert(0, str(stubs))


def main() -> None:
    flags = argparse.ArgumentParser()
    for name in ("server", "protos", "stubs", "known", "new"):
        flags.add_argument(f"--{name}", required=True)
    asked = flags.parse_args()
    make_stubs(pathlib.Path(asked.protos), pathlib.Path(asked.stubs))
    with grpc.insecure_channel(asked.server) as channel:
        check_health(channel)
        check_reflection(channel)
        declare(channel)
        plans = watch(channel)
        feed(channel, 0, 48)
        print("pushed: 48 samples over the stream")
        first = next(plans).plan
        assert first.generation == 1 and first.apis[0].api == "shop/orders", first
        print(f"watched: plan {first.generation} of pool {first.pool}")
        module = push(channel, asked.known)
        print(f"module: {module.manifest.name} was there already")
        assert module.pushed_by == "tidegate", module
        module = push(channel, asked.new)
        assert module.pushed_by != "tidegate", module
        print("module: fixture is new")
        bind(channel)
        feed(channel, 48, 1)
        second = next(plans).plan
        assert (second.generation, second.parent) == (2, 1), second
        forecast_by(channel, "seasonal-naive")
        print(f"bound: seasonal-naive forecasts, plan {second.generation} rests on it")


def check_health(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=""), timeout=SECONDS, wait_for_ready=True)
    print(f"health: {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}")


def check_reflection(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    told = {s.removeprefix("tidegate.v1.") for s in database.get_services() if s.startswith("tidegate.v1.")}
    wanted = {"Alerts", "Catalog", "Clock", "Events", "Forecasts", "Ingest", "Limits", "Plans", "Policies", "Shadows", "Status"}
    assert told == wanted, told ^ wanted
    file = database.FindFileContainingSymbol("tidegate.v1.Plan")
    assert "Plan" in [m.name for m in file.message_type], file.name
    print("reflection: all services of tidegate.v1")


def declare(channel: grpc.Channel) -> None:
    from tidegate.v1 import catalog_pb2 as catalog, catalog_pb2_grpc, common_pb2 as common

    objects = [
        catalog.Object(tenant=catalog.Tenant(name="shop", max_series=100, max_samples_per_s=100_000, max_modules=5)),
        catalog.Object(pool=catalog.Pool(name="edge", ready=common.Resources(requests=50.0))),
        catalog.Object(
            api=catalog.Api(name="shop/orders", pool="edge", category="web", mode=catalog.MODE_ENFORCE, base_tier=common.TIER_GOLD)
        ),
        catalog.Object(
            slo=catalog.Slo(
                name="shop/orders-fast",
                api="shop/orders",
                latency=catalog.LatencyIndicator(threshold=0.2),
                objective=0.99,
                window_s=7 * 86_400,
            )
        ),
    ]
    changes = [catalog.Change(put=catalog.Put(object=o)) for o in objects]
    stub = catalog_pb2_grpc.CatalogStub(channel)
    answer = stub.Apply(catalog.ApplyRequest(changes=changes), timeout=SECONDS)
    assert all(e.effect == catalog.EFFECT_CREATED for e in answer.effects), answer
    print("applied: " + ", ".join(o.WhichOneof("object") for o in objects))


def watch(channel: grpc.Channel):
    from tidegate.v1 import plans_pb2 as plans, plans_pb2_grpc

    request = plans.WatchPlansRequest(pool="edge", after_generation=0)
    return plans_pb2_grpc.PlansStub(channel).WatchPlans(request, timeout=SECONDS)


def feed(channel: grpc.Channel, start: int, count: int) -> None:
    """Sends steps over the bidirectional stream, waits for the ack, and moves the clock behind them."""
    from tidegate.v1 import clock_pb2 as clock, clock_pb2_grpc
    from tidegate.v1 import common_pb2 as common
    from tidegate.v1 import ingest_pb2 as ingest, ingest_pb2_grpc

    frames = queue.Queue()
    declaration = ingest.SeriesDeclaration(series_ref=1, api="shop/orders", signal=common.SIGNAL_REQUESTS, step_s=STEP_S)
    loads = [3000.0 + 100.0 * (n % 12) for n in range(start, start + count)]
    columns = ingest.Columns(start_ms=START_MS + start * STEP_S * 1000, values=loads)
    samples = ingest.SeriesSamples(series_ref=1, columns=columns)
    frames.put(ingest.SampleFrame(sequence=1, declare=[declaration], series=[samples]))
    stub = ingest_pb2_grpc.IngestStub(channel)
    for ack in stub.StreamSamples(iter(frames.get, None), timeout=SECONDS):
        if ack.sequence == 0:
            assert ack.max_unacked > 0, ack
            continue
        assert ack.stored == count and not ack.rejections and not ack.HasField("error"), ack
        frames.put(None)
    end = START_MS + (start + count) * STEP_S * 1000
    clock_pb2_grpc.ClockStub(channel).Advance(clock.AdvanceRequest(now_ms=end), timeout=SECONDS)


def push(channel: grpc.Channel, path: str):
    from tidegate.v1 import policies_pb2 as policies, policies_pb2_grpc

    component = pathlib.Path(path).read_bytes()

    def parts():
        digest = hashlib.sha256(component).hexdigest()
        yield policies.PushModuleRequest(header=policies.PushModuleHeader(size=len(component), digest=digest))
        for at in range(0, len(component), 1 << 20):
            yield policies.PushModuleRequest(chunk=component[at : at + (1 << 20)])

    module = policies_pb2_grpc.PoliciesStub(channel).Push(parts(), timeout=SECONDS).module
    assert module.digest == hashlib.sha256(component).hexdigest(), module
    return module


def bind(channel: grpc.Channel) -> None:
    from tidegate.v1 import policies_pb2 as policies, policies_pb2_grpc

    stub = policies_pb2_grpc.PoliciesStub(channel)
    request = policies.BindRequest(binding="default-forecaster", module="seasonal-naive")
    slot = stub.Bind(request, timeout=SECONDS).slot
    assert slot.active.name == "seasonal-naive" and slot.last_good.name == "ensemble", slot


def forecast_by(channel: grpc.Channel, module: str) -> None:
    from tidegate.v1 import common_pb2 as common
    from tidegate.v1 import forecasts_pb2 as forecasts, forecasts_pb2_grpc

    request = forecasts.GetForecastRequest(api="shop/orders", signal=common.SIGNAL_REQUESTS, steps=6)
    forecast = forecasts_pb2_grpc.ForecastsStub(channel).GetForecast(request, timeout=SECONDS).forecast
    assert forecast.served.module.name == module, forecast.served
    assert len(forecast.mean) == 6 and len(forecast.quantiles) == 6 * len(forecast.levels), forecast


if __name__ == "__main__":
    main()
