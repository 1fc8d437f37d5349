# The prototype of a run, `podium serve`, in a container of its own:
#
#     docker build --tag podium .
#     docker run --rm --publish 127.0.0.1:8000:8000 --volume "$PWD/weights:/podium/weights:ro" podium RUN
#
# The run is mounted, never copied: one image serves any run. See docs/prototype.md.

FROM python:3.12-slim AS build
RUN pip install --no-cache-dir uv
COPY requirements.lock setup.cfg pyproject.toml README.md LICENSE /source/
COPY src /source/src
WORKDIR /source
# As locked, without what only tests need; TensorFlow as built for CPUs, which is 600 MB smaller,
# and without its headers, which are 290 MB more.
RUN uv venv /venv \
    && uv pip compile setup.cfg --extra web --constraint requirements.lock --no-header --quiet \
        | sed 's/^tensorflow==/tensorflow-cpu==/' > runtime.txt \
    && uv pip install --no-cache --python /venv/bin/python --compile-bytecode --no-deps \
        --requirement runtime.txt . \
    && rm -rf /venv/lib/python3.12/site-packages/tensorflow/include

FROM python:3.12-slim
COPY --from=build /venv /venv
RUN useradd --create-home --uid 10001 podium
USER podium
WORKDIR /podium
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["podium", "serve", "--host", "0.0.0.0"]
CMD ["sample-b0"]
