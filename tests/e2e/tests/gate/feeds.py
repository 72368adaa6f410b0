"""Instances of a service, measured by the OpenTelemetry SDK and sent by OTLP: `grpc` and `http` by its own
exporters with gzip, `zstd` and `json` by a post of the same message.

usage: feeds.py PROTOCOL ENDPOINT [PROTOCOL ENDPOINT]...   one instance each
Prints what each instance counted, one line: requests errors.
"""

import sys
import time

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource


class Poster(MetricExporter):
    """Posts what the SDK's own encoder makes, in a form that its exporters do not know."""

    def __init__(self, endpoint, form):
        super().__init__()
        self.endpoint, self.form = endpoint + "/v1/metrics", form

    def export(self, metrics_data, timeout_millis=10_000, **_):
        import requests
        import zstandard
        from google.protobuf.json_format import MessageToJson
        from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

        message = encode_metrics(metrics_data)
        if self.form == "json":
            body = MessageToJson(message, use_integers_for_enums=True).encode()
            headers = {"Content-Type": "application/json"}
        else:
            body = zstandard.ZstdCompressor(write_checksum=True).compress(message.SerializeToString())
            headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "zstd"}
        answer = requests.post(self.endpoint, body, headers=headers, timeout=timeout_millis / 1000)
        return MetricExportResult.SUCCESS if answer.status_code == 200 else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis=10_000):
        return True

    def shutdown(self, timeout_millis=10_000, **_):
        pass


def exporter(protocol, endpoint):
    if protocol in ("json", "zstd"):
        return Poster(endpoint, protocol)
    if protocol == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

        return OTLPMetricExporter(endpoint=endpoint, insecure=True, compression=grpc.Compression.Gzip)
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(endpoint=endpoint + "/v1/metrics", compression=Compression.Gzip)


def instance(number, protocol, endpoint):
    reader = PeriodicExportingMetricReader(exporter(protocol, endpoint), export_interval_millis=500)
    resource = Resource.create({"service.name": "pay", "service.instance.id": f"pay-{number}"})
    provider = MeterProvider(resource=resource, metric_readers=[reader])
    durations = provider.get_meter("feeds").create_histogram(
        "http.server.request.duration",
        unit="s",
        explicit_bucket_boundaries_advisory=[0.005, 0.025, 0.1, 0.5, 1.0],
    )
    return provider, durations


def main():
    pairs = list(zip(sys.argv[1::2], sys.argv[2::2]))
    instances = [instance(i, *pair) for i, pair in enumerate(pairs)]
    route = {"http.request.method": "GET", "http.route": "/cards/{id}"}
    fine = {**route, "http.response.status_code": 200}
    failed = {**route, "http.response.status_code": 503}
    # The step in which counting begins is not given out: let it pass.
    for _, durations in instances:
        durations.record(0.01, fine)
    time.sleep(2.5)
    counted = [[0, 0] for _ in instances]
    for second in range(8):
        for i, (_, durations) in enumerate(instances):
            for _ in range(10 * (i + 1) + second):
                durations.record(0.01, fine)
                counted[i][0] += 1
            if second % 3 == 1:
                durations.record(0.3, failed)
                counted[i][0] += 1
                counted[i][1] += 1
        time.sleep(0.5)
    for provider, _ in instances:
        provider.shutdown()
    for requests, errors in counted:
        print(requests, errors)


main()
