"""The live screen of `afield top`. Only this folder may load Textual."""
