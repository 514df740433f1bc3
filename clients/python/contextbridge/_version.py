"""The one version of contextbridge: of the server, the client and the images."""

__version__ = "0.2.0"
