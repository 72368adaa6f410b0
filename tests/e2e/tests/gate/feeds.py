"""Two instances of a service, measured by the OpenTelemetry SDK and sent by OTLP with gzip.

usage: feeds.py PROTOCOL ENDPOINT [PROTOCOL ENDPOINT]...   one instance each
Prints what each instance counted, one line: requests errors.
"""

import sys
import time

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource


def exporter(protocol, endpoint):
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
