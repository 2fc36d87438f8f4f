"""The HTTP door: API and event stream over the controller."""
