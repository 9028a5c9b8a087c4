# Two images from one tree: `web` has nothing that trains, `worker` has all of it.
#   docker build --target web .      docker build --target worker .

FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VENV=/opt/temper \
    PATH=/opt/temper/bin:$PATH \
    TEMPER_HOME=/data \
    HF_HOME=/hub
# A user without rights; /data and the hub's cache are the only places it writes to.
RUN useradd --uid 10001 --create-home temper \
 && install --directory --owner temper /data /hub
WORKDIR /srv/temper
# What decides the installation comes first, so that a change of the code installs nothing anew.
COPY pyproject.toml README.md LICENSE ./
COPY .ci/install .ci/constraints.txt .ci/
COPY app/__init__.py app/
COPY worker/__init__.py worker/

FROM base AS web
RUN PIP_NO_CACHE_DIR=1 .ci/install web
COPY migrations migrations
COPY templates templates
COPY static static
COPY app app
USER temper
VOLUME ["/data", "/hub"]
EXPOSE 8321
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8321/readyz', timeout=4)"]
CMD ["temper", "web"]

FROM base AS worker
# bitsandbytes and torch compile small kernels at run time
RUN apt-get update -qq \
 && apt-get install -qq --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
RUN PIP_NO_CACHE_DIR=1 .ci/install run
COPY migrations migrations
COPY app app
COPY worker worker
USER temper
VOLUME ["/data", "/hub"]
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s \
  CMD ["sh", "-c", "celery -A worker.main inspect ping --timeout 10 --destination celery@$(hostname)"]
CMD ["temper", "worker"]
