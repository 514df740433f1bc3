"""What the server says of itself: logs, and later metrics and spans, by one list of names."""
