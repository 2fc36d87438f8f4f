"""Durable truth on our side: event log, projections, output bytes."""
