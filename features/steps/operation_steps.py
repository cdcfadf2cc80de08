import subprocess
import time
from contextlib import suppress

import httpx
from behave import given, then, when
from psutil import STATUS_ZOMBIE, NoSuchProcess

from features.support.platform import Platform
from features.support.running import RunningPlatform, eventually, free_port_taken, processes_of

READING = {"ts": "2026-01-01T00:00:00Z", "values": {"temperature": 61.5}}


@given("a platform of its own")
def start_own_platform(context):
    context.own = RunningPlatform()
    context.own.start()
    context.add_cleanup(context.own.remove)


@when("a platform is started with a demonstration")
def start_demonstration(context):
    context.own = RunningPlatform(options=["--demo"])
    context.own.start()
    context.add_cleanup(context.own.remove)
    context.visitor = Platform.log_in_as_platform_administrator(context.own.url)


@then("within 60 seconds each of its nine machines is online and has measured something")
def machines_have_measured(context):
    eventually(lambda: measuring_devices(context.visitor) == 9, within=60, what="nine machines measure")


def measuring_devices(visitor):
    devices = visitor.get("/api/v1/devices").json()["items"]
    return sum(device["connectivity"] == "online" and has_measured(visitor, device) for device in devices)


def has_measured(visitor, device):
    return bool(visitor.get(f"/api/v1/devices/{device['id']}/telemetry/latest").json()["values"])


@given('on it the device "{name}" that reported and measured something')
def report_and_measure(context, name):
    platform = Platform(context.own.url)
    platform.register_device(name, asset={"properties": {"manufacturer": "Acme"}})
    path = platform.path_of(name)
    platform.request("PATCH", f"{path}/shadow", by=f"device:{name}", json={"state": {"reported": {"mode": "eco"}}})
    platform.request("POST", f"{path}/telemetry", by=f"device:{name}", json=READING)
    context.before = everything_known(platform, name)
    context.own_platform = platform


def everything_known(platform, name):
    path = platform.path_of(name)
    shadow = platform.get(f"{path}/shadow")
    return {
        "device": platform.get(path)["serial_number"],
        "asset": platform.get(f"{path}/asset")["properties"],
        # Without the unit, which is left out where it cannot be told within a moment.
        "telemetry": [series | {"unit": None} for series in platform.get(f"{path}/telemetry")["series"]],
        "shadow": (shadow["state"], shadow["metadata"], shadow["version"]),
    }


@when("the platform is stopped and started again")
def restart(context):
    assert context.own.stop() == 0, context.own.output()
    context.own.start()


@when("the platform is stopped")
def stop(context):
    context.running_before = processes_of(context.own.pid)
    context.exit_status = context.own.stop()


@then('the device "{name}" is as it was before, in all four stores')
def is_as_before(context, name):
    assert everything_known(context.own_platform, name) == context.before


@when("the servers of the stores are killed")
def kill_servers(context):
    servers = [
        process for process in processes_of(context.own.pid) if process.name() in {"postgres", "valkey-server"}
    ]
    assert len(servers) > 1
    for server in servers:
        with suppress(NoSuchProcess):
            server.kill()


@then('within 20 seconds the device "{name}" is as it was before, in all four stores')
def is_soon_as_before(context, name):
    eventually(lambda: is_ready(context.own.url), within=20, what="the platform is ready again")
    assert everything_known(context.own_platform, name) == context.before


def is_ready(url):
    return httpx.get(f"{url}/health/ready", trust_env=False, timeout=10).status_code == 200


@then("it ended in good order and nothing of it is running")
def nothing_is_running(context):
    assert context.exit_status == 0, context.own.output()
    assert len(context.running_before) > 4
    # What has ended stays in the list of processes until whoever adopted it has taken note.
    left = [each for each in context.running_before if each.is_running() and each.status() != STATUS_ZOMBIE]
    assert not left, left


@given("another program listens on a port")
def listen(context):
    context.listener, context.port = free_port_taken()
    context.add_cleanup(context.listener.close)


@when("a platform is started on that port")
def start_on_taken_port(context):
    began = time.monotonic()
    context.ended = subprocess.run(
        RunningPlatform.command(context.running.data_dir / "never", context.port),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    context.seconds = time.monotonic() - began


@then("it ends at once with one sentence that names the port, and exit status 1")
def ended_with_one_sentence(context):
    assert context.ended.returncode == 1
    assert context.ended.stderr.count("\n") == 1, context.ended.stderr
    assert str(context.port) in context.ended.stderr
    assert not (context.running.data_dir / "never").exists()


@when('an operator registers "{name}" twice with the same idempotency key')
def register_twice(context, name):
    headers = {"Idempotency-Key": "order 66"}
    body = {"serial_number": name, "device_type": "pump"}
    context.answers = [context.platform.request("POST", "/devices", headers=headers, json=body) for _ in range(2)]


@then("both answers are the same, and there is one device")
def answered_once(context):
    first, second = context.answers
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (201, first.json())
    assert len(context.platform.get("/devices")["items"]) == 1


@when("somebody asks whether the platform is ready")
def ask_for_readiness(context):
    context.readiness = context.platform.http.get("/health/ready").json()


@then("all four stores are up, each with its engine")
def all_stores_are_up(context):
    engines = {store: condition["engine"] for store, condition in context.readiness["stores"].items()}
    assert context.readiness["status"] == "ready"
    assert engines.keys() == {"registry", "assets", "telemetry", "shadow"}
    assert all(engines.values()), engines
