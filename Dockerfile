# The image of the server. `docker build --tag contextbridge .`
# deploy/verify-image.sh performs the RUN steps without a daemon; tests/unit/test_docker.py
# compares the two.

FROM python:3.11-slim-bookworm AS build
ARG PREFIX=/opt/contextbridge
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /build

# Dependencies first: they change less often than the code.
RUN python -m venv tools
RUN python -m venv --without-pip "$PREFIX"
COPY requirements/server.txt requirements/server.txt
RUN tools/bin/pip --python "$PREFIX/bin/python" install --require-hashes --only-binary :all: \
    --requirement requirements/server.txt
COPY deploy/build-requirements.txt deploy/build-requirements.txt
RUN tools/bin/pip install --require-hashes --only-binary :all: \
    --requirement deploy/build-requirements.txt

COPY pyproject.toml README.md ./
COPY clients/python clients/python
COPY server server
RUN tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels ./clients/python .
RUN tools/bin/pip --python "$PREFIX/bin/python" install --no-deps --no-index wheels/*.whl

# What the embedded store keeps. It is empty in the image.
RUN mkdir -m 700 data

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="contextbridge" \
      org.opencontainers.image.description="A gRPC service in front of an HTTP AI gateway." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/contextbridge /opt/contextbridge
COPY LICENSE /opt/contextbridge/LICENSE
COPY --from=build --chown=65532:65532 /build/data /var/lib/contextbridge

# A container's loopback reaches nobody. Beyond loopback the server starts only with callers and
# TLS, or with --insecure.
# With PYTHONMALLOC memory goes back after a burst of calls, for a little of the speed (ADR 28).
ENV PATH=/opt/contextbridge/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONMALLOC=malloc \
    GRPC_ENABLE_FORK_SUPPORT=0 \
    CONTEXTBRIDGE_LISTEN=0.0.0.0:50051 \
    CONTEXTBRIDGE_DATA_DIR=/var/lib/contextbridge

# The only place that is written to. Mount something that lasts, or use a shared store.
VOLUME /var/lib/contextbridge

USER 65532:65532
EXPOSE 50051
STOPSIGNAL SIGTERM

# With TLS, give the check its options: HEALTHCHECK_OPTIONS="--ca-file FILE --server-name NAME".
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD contextbridge healthcheck $HEALTHCHECK_OPTIONS

ENTRYPOINT ["contextbridge"]
CMD ["serve"]
