"""One dataset a file; a registered function is a protocol."""
