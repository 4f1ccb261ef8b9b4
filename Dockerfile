# One image for every process: api admit learn beat migrate lure (deploy/compose/entry; docs/deployment.md).
# The classic builder of Docker 20.10 builds it: nothing here is BuildKit's own.
#
#   docker build -t lure .
#   docker build -t lure --build-arg TORCH_INDEX_URL=... .     another build of PyTorch: smaller, without CUDA
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# empty: the default (CUDA) builds, which run on a CPU as well
ARG TORCH_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build

# The environment itself never has pip in it: the tools that fill it have their own and stay behind.
COPY pyproject.toml constraints.txt ./
RUN python3 -m venv tools \
 && tools/bin/python -m pip install --quiet -c constraints.txt pip setuptools \
 && python3 -m venv --without-pip /opt/lure \
 && echo /opt/app > "$(/opt/lure/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/lure.pth"

# What changes seldom comes first: a change of code fetches nothing, and its layer is small.
RUN tools/bin/python -m pip --python /opt/lure/bin/python install --quiet -c constraints.txt \
    ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch torchvision
RUN /opt/lure/bin/python -c "import tomllib; told = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*told['dependencies'], *told['optional-dependencies']['tracing'], sep='\n')" > requirements.txt \
 && tools/bin/python -m pip --python /opt/lure/bin/python install --quiet -c constraints.txt -r requirements.txt

COPY . .
RUN tools/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels . \
 && tools/bin/python -m pip --python /opt/lure/bin/python install --quiet --no-deps --target /opt/app wheels/*.whl

FROM ${PYTHON_IMAGE}

# Nothing is installed from here on: the base's own pip goes, where its packager lets go of it.
# Volumes take their owner from the folder that they are first mounted over. 10001: no user of the host, by any habit.
RUN (python3 -m pip uninstall --yes --quiet --root-user-action=ignore pip || echo "pip belongs to the base's packages: left") \
 && groupadd --gid 10001 lure \
 && useradd --uid 10001 --gid lure --no-create-home --home-dir /tmp --shell /usr/sbin/nologin lure \
 && install -d -o lure -g lure /var/lib/lure/blobs /var/lib/lure/cache /run/lure/secrets \
    /run/lure/init/postgres /run/lure/init/redis /run/lure/init/workers /run/lure/init/api \
    /run/lure/init/prometheus /run/lure/init/grafana /run/lure/init/s3

COPY --from=build /opt/lure /opt/lure
COPY --from=build /opt/app /opt/app
COPY deploy/compose/entry /usr/local/bin/lure-entry
COPY deploy/compose/health /usr/local/bin/lure-health

# The root may be read-only: bytecode is there already, and caches go where HOME is, which is memory in the compose file.
ENV PATH=/opt/app/bin:/opt/lure/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 \
    HOME=/tmp XDG_CACHE_HOME=/tmp/.cache \
    LURE_BLOBS=/var/lib/lure/blobs LURE_CACHE=/var/lib/lure/cache
USER 10001:10001
WORKDIR /var/lib/lure
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["lure-health"]
ENTRYPOINT ["lure-entry"]
CMD ["api"]

ARG REVISION=unknown
LABEL org.opencontainers.image.title="LURE" \
      org.opencontainers.image.description="Keeps image classifiers fresh while labelled data arrives in chunks" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
