"""Feeds counts to a tidegate daemon over `Ingest.StreamSamples`, from Python.

    pip install grpcio grpcio-tools
    python feed.py --server 127.0.0.1:7400 --protos proto shop/checkout shop/search

It shows what a client in any language does: declare each series once, send a grid per frame, keep to
the window that the server tells, forget a frame when its ack has come, and go on with the session when
the line breaks. The stubs are made from the .proto files when it starts. The counts are a daily wave;
put your own in `counts`.
"""

import argparse
import collections
import math
import pathlib
import queue
import random
import sys
import tempfile
import time

import grpc
from grpc_tools import protoc

# What another attempt cannot change.
FINAL = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.ABORTED,
}
ATTEMPTS = 8
STEPS_PER_FRAME = 100


def make_stubs(protos: pathlib.Path, out: str) -> None:
    files = ["tidegate/v1/common.proto", "tidegate/v1/ingest.proto"]
    if protoc.main(["protoc", f"-I{protos}", f"--python_out={out}", f"--grpc_python_out={out}", *files]) != 0:
        sys.exit("the .proto files do not compile")
    sys.path.insert(0, out)


class Feeder:
    """Holds frames until they are acked. At most `held` of them: whoever adds more waits."""

    def __init__(self, stub, messages, session: str, declare, token=None, held: int = 64):
        self.stub, self.messages, self.session, self.declare = stub, messages, session, declare
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        self.held = held
        self.unacked = collections.OrderedDict()  # by sequence, rising
        self.again = []  # pushed back, in their order
        self.last = self.heard = self.failures = 0
        self.stored = self.duplicates = self.late = self.rejected = 0
        self.told = set()
        self.call = None
        self.begun = False

    def add(self, grids) -> None:
        self.last += 1
        self.unacked[self.last] = grids
        self._settle(self.held)

    def flush(self) -> None:
        self._settle(0)

    def close(self) -> None:
        if self.call:
            self.frames.put(None)
            self.call = None

    def _settle(self, rest: int) -> None:
        """Moves frames and acks until at most `rest` frames have no ack."""
        while len(self.unacked) + len(self.again) > rest:
            try:
                if self.call is None:
                    self._open()
                self._send()
                self._hear(next(self.call))
                self.failures = 0
            except (grpc.RpcError, StopIteration) as error:
                self.call = None
                self.failures += 1
                final = isinstance(error, grpc.RpcError) and error.code() in FINAL
                if final or self.failures == ATTEMPTS:
                    raise
                # Half for sure, half by chance: those who were cut off together do not come back together.
                wait = min(0.1 * 2**self.failures, 5.0)
                time.sleep(wait * random.uniform(0.5, 1.0))

    def _open(self) -> None:
        self.frames = queue.Queue()
        self.call = self.stub.StreamSamples(iter(self.frames.get, None), metadata=self.metadata)
        self.window = next(self.call).max_unacked
        opening = self.messages.StreamOpening(session=self.session, heard=self.heard)
        self.frames.put(self.messages.SampleFrame(open=opening))
        taken = next(self.call).resumed.taken
        if not self.begun and taken > 0:
            # Another run had this session: go on behind its numbers.
            self.unacked = collections.OrderedDict((taken + n, grids) for n, grids in self.unacked.items())
            self.last += taken
        self.begun = True
        # What was taken is not sent again; its acks come.
        self.under_way = {sequence for sequence in self.unacked if sequence <= taken}
        self.declared = False

    def _send(self) -> None:
        if self.again:
            # Nothing may overtake them: they go first, under new numbers, once nothing is under way.
            if self.under_way:
                return
            frames = [*self.again, *self.unacked.values()]
            self.unacked = collections.OrderedDict(enumerate(frames, self.last + 1))
            self.last += len(frames)
            self.again = []
        for sequence, grids in self.unacked.items():
            if len(self.under_way) >= self.window:
                return
            if sequence in self.under_way:
                continue
            declare = [] if self.declared else self.declare
            self.frames.put(self.messages.SampleFrame(sequence=sequence, declare=declare, grids=grids))
            self.under_way.add(sequence)
            self.declared = True

    def _hear(self, ack) -> None:
        self.heard = max(self.heard, ack.sequence)
        self.under_way.discard(ack.sequence)
        grids = self.unacked.pop(ack.sequence, None)
        if grids is None:
            return  # an ack of another run
        if ack.HasField("error"):
            if ack.error.retry_after_ms == 0:
                sys.exit(f"frame {ack.sequence} was refused: {ack.error.message}")
            time.sleep(ack.error.retry_after_ms / 1000)
            self.again.append(grids)
            return
        self.stored += ack.stored
        self.duplicates += ack.duplicates
        self.late += ack.late
        for rejection in ack.rejections:
            self.rejected += rejection.samples
            if rejection.reason not in self.told:
                self.told.add(rejection.reason)
                print(f"refused: {rejection.field}: {rejection.reason}")


def counts(api: int, start_ms: int, step_s: int) -> int:
    phase = (start_ms / 86_400_000) * 2 * math.pi + api
    return round((200 - 150 * math.cos(phase)) * step_s)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("apis", nargs="+", metavar="TENANT/NAME")
    flags.add_argument("--server", default="127.0.0.1:7400")
    flags.add_argument("--protos", type=pathlib.Path, default=pathlib.Path("proto"))
    flags.add_argument("--token")
    flags.add_argument("--session", default="feed.py")
    flags.add_argument("--steps", type=int, default=1440)
    flags.add_argument("--step-s", type=int, default=60)
    flags.add_argument("--start-ms", type=int, help="of the first step; absent: the last one ends now")
    asked = flags.parse_args()
    step_ms = asked.step_s * 1000
    start = asked.start_ms
    if start is None:
        start = int(time.time() * 1000) // step_ms * step_ms - asked.steps * step_ms

    with tempfile.TemporaryDirectory() as stubs, grpc.insecure_channel(asked.server) as channel:
        make_stubs(asked.protos, stubs)
        from tidegate.v1 import common_pb2 as common
        from tidegate.v1 import ingest_pb2 as messages, ingest_pb2_grpc

        declare = [
            messages.SeriesDeclaration(series_ref=ref, api=api, signal=common.SIGNAL_REQUESTS, step_s=asked.step_s)
            for ref, api in enumerate(asked.apis, 1)
        ]
        stub = ingest_pb2_grpc.IngestStub(channel)
        feeder = Feeder(stub, messages, asked.session, declare, asked.token)
        for first in range(0, asked.steps, STEPS_PER_FRAME):
            steps = range(first, min(first + STEPS_PER_FRAME, asked.steps))
            at = [start + s * step_ms for s in steps]
            grid = messages.SampleGrid(
                start_ms=at[0],
                steps=len(at),
                series_ref=[1],
                rows=len(asked.apis),
                counts=[counts(api, t, asked.step_s) for api in range(len(asked.apis)) for t in at],
            )
            feeder.add([grid])
        feeder.flush()
        feeder.close()
        print(
            f"on disk: {feeder.stored} new, {feeder.duplicates} known; "
            f"{feeder.late} late, {feeder.rejected} refused"
        )


if __name__ == "__main__":
    main()
