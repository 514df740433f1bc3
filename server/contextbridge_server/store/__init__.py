"""Keeps what outlives a call, in Valkey: embedded beside the server, or shared by many."""
