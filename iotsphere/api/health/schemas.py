from marshmallow import Schema, fields


class LivenessAnswer(Schema):
    status = fields.String()


class StoreConditionAnswer(Schema):
    status = fields.Function(lambda store: "up" if store.is_up else "down", metadata={"enum": ["up", "down"]})
    latency_ms = fields.Float()
    engine = fields.String(allow_none=True)
    detail = fields.String(
        allow_none=True, metadata={"description": "Why the store is down, or what else is to be known of it."}
    )


class ReadinessAnswer(Schema):
    status = fields.String(metadata={"enum": ["ready", "unavailable"]})
    stores = fields.Dict(keys=fields.String(), values=fields.Nested(StoreConditionAnswer))
