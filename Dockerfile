# One image for every process: `api` (default), `worker`, `migrate`.
#   docker build -t trainyard:0.1.0 .
#   docker build -t trainyard:0.1.0-gpu --build-arg REQUIREMENTS=requirements-gpu.lock .
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
ARG REQUIREMENTS=requirements.lock
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/trainyard
COPY ${REQUIREMENTS} /build/requirements.lock
RUN /opt/trainyard/bin/pip install --require-hashes --no-deps -r /build/requirements.lock
COPY pyproject.toml README.md LICENSE /build/
COPY app /build/app
COPY workers /build/workers
COPY migrations /build/migrations
# setuptools is in the lock, so that nothing is fetched here without a hash.
RUN /opt/trainyard/bin/pip install --no-deps --no-build-isolation /build

FROM python:${PYTHON_VERSION}-slim
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /tmp trainyard \
    && install --directory --owner trainyard --group trainyard --mode 0750 \
       /var/lib/trainyard/home /var/lib/trainyard/blobs
COPY --from=build /opt/trainyard /opt/trainyard
ENV PATH=/opt/trainyard/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TRAINYARD_HOME=/var/lib/trainyard/home
# What a container can make again: uploads under way, attempts, caches. A volume, so that the
# rest of the file system may be read-only.
VOLUME /var/lib/trainyard/home
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["trainyard", "status", "--live"]
ENTRYPOINT ["trainyard"]
CMD ["api"]
