"""Reads a page of metrics from stdin with the reference parser of OpenMetrics, which refuses whatever the format forbids, and checks
that the families are those of a broker. Called by tests/control_thread.rs.
"""

import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

page = sys.stdin.read()
families = {family.name: family for family in text_string_to_metric_families(page)}
for name, kind, unit in [
    ("corecast_sessions", "gauge", ""),
    ("corecast_messages_in", "counter", ""),
    ("corecast_turn_seconds", "histogram", "seconds"),
    ("corecast_egress_bytes", "gauge", "bytes"),
    ("corecast_busy_ratio", "gauge", "ratio"),
    ("corecast_build", "info", ""),
    ("process_cpu_seconds", "counter", "seconds"),
    ("process_start_time_seconds", "gauge", "seconds"),
    ("process_resident_memory_bytes", "gauge", "bytes"),
]:
    family = families[name]
    assert (family.type, family.unit) == (kind, unit), family
    assert family.samples and family.documentation, family
assert all(family.type != "unknown" for family in families.values()), families
