"""Upstream, the HTTP AI gateway: the only code that knows HTTP."""
