"""Where nodes come from: observe, acquire, release, transport."""
