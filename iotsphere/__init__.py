"""IoTSphere: one service layer over a device registry, an asset database, telemetry and device shadows."""
