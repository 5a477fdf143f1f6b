# One image for all of our processes: API, worker, relay, beat, Flower, migrate. docker-compose.yml says which command each runs.

ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv --without-pip /opt/limpet
COPY requirements.lock requirements-server.lock ./
RUN pip --python /opt/limpet/bin/python install --require-hashes --no-deps --only-binary=:all: -r requirements-server.lock
# The build tool comes from the lock file, too, and stays in this stage.
RUN awk '/^[^ ]/ {wanted = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/} wanted' \
        requirements.lock > build.lock \
    && pip install --require-hashes --no-deps --only-binary=:all: -r build.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY worker worker
COPY api_stub api_stub
COPY limpet limpet
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/limpet/bin/python install --no-deps /wheels/*.whl

FROM ${PYTHON}
# A volume that is empty takes the owner of the folder it covers: so these are made here.
RUN groupadd --gid 10001 limpet \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/limpet --shell /usr/sbin/nologin limpet \
    && install --directory --owner=limpet --group=limpet --mode=0700 \
        /var/lib/limpet /var/lib/limpet/credentials /var/lib/limpet/beat /var/lib/limpet/flower \
        /var/lib/limpet/spool
COPY --from=build /opt/limpet /opt/limpet
ENV PATH=/opt/limpet/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/limpet
CMD ["limpet", "--help"]
