"""Nouns and lawful moves. No I/O, no clock, no logging, no asyncio: everything here is a value."""
