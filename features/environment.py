"""One really running platform for all features; a fresh organisation on it for every scenario."""

from features.support.platform import Platform
from features.support.running import RunningPlatform


def before_all(context):
    # A dry run only looks whether every step has a definition.
    if not context.config.dry_run:
        context.running = RunningPlatform()
        context.running.start()


def before_scenario(context, scenario):  # noqa: ARG001
    context.platform = Platform(context.running.url)


def after_scenario(context, scenario):  # noqa: ARG001
    context.platform.http.close()


def after_all(context):
    if not context.config.dry_run:
        try:
            assert context.running.stop() == 0, context.running.output()
        finally:
            context.running.remove()
