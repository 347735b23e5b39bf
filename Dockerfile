# The server on a CPU: docker build -t msapipe . && docker run --rm -p 127.0.0.1:8000:8000 -e MSAPIPE_TOKEN=... msapipe
FROM python:3.12-slim AS build
RUN pip install --no-cache-dir uv
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY msapipe msapipe
COPY models models
COPY pipelines pipelines
COPY ablations ablations
# The set of packages that was tested together stands in pyproject.toml; the environment is made from it.
ENV UV_PROJECT_ENVIRONMENT=/opt/msapipe UV_LINK_MODE=copy
RUN uv sync --no-dev --extra serve --no-editable

FROM python:3.12-slim
# libgl and libglib: OpenCV asks for them when it is loaded.
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 msapipe \
    && mkdir /cache && chown msapipe /cache
COPY --from=build /opt/msapipe /opt/msapipe
ENV PATH=/opt/msapipe/bin:$PATH MSAPIPE_CACHE=/cache MSAPIPE_OFFLINE=1 OMP_NUM_THREADS=1
USER msapipe
VOLUME /cache
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import json, urllib.request; assert json.load(urllib.request.urlopen('http://127.0.0.1:8000/health'))['ready']"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["msapipe"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
