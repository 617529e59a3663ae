# One image for every process of the application; the command says which one it is.
#
#   docker build --tag celery-sagas .
#
# docker-compose.yml has the commands. What a process is told comes from its environment; the
# image has no secret. Run it with `--init`, so that signals and orphans have a first process.
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
RUN python3 -m venv /venv
WORKDIR /build
# Without our code first: this layer is kept until a dependency changes.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir saga && touch saga/__init__.py \
    && /venv/bin/pip install --no-cache-dir --constraint constraints.txt '.[application]'
COPY saga saga
RUN /venv/bin/pip install --no-cache-dir --no-deps --force-reinstall .

FROM ${PYTHON_IMAGE}
# A volume that is mounted on one of these for the first time gets the user who owns it here.
RUN groupadd --gid 10001 saga \
    && useradd --uid 10001 --gid saga --no-create-home --home-dir /tmp saga \
    && install --directory --owner saga --group saga /data /keys /staging /objects
COPY --from=build /venv /venv
WORKDIR /app
COPY pyproject.toml alembic.ini app.py celeryconfig.py settings.py ops/docker/health.py ./
COPY api api
COPY commands commands
COPY gateways gateways
COPY migrations migrations
COPY models models
COPY tasks tasks
COPY workflows workflows
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER saga
EXPOSE 8000
CMD ["uvicorn", "--factory", "app:create_api", "--host=0.0.0.0", "--port=8000"]
