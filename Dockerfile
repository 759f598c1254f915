# One image, three commands: `api`, `worker` and `train` (see docker-compose.yml).
# torch's own wheels carry CUDA, so a slim base serves a GPU as well; the host brings the driver.
FROM python:3.11-slim-bookworm AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/pirenderer
ENV PATH=/opt/pirenderer/bin:$PATH

# Empty: the registry's build of torch, which carries CUDA. Set it to the index of torch's CPU wheels for a small image.
ARG TORCH_INDEX_URL=""
COPY requirements /src/requirements
RUN pip install --require-hashes --requirement /src/requirements/train.txt \
 && pip install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} --requirement /src/requirements/torch.txt

COPY pyproject.toml README.md LICENSE NOTICE /src/
COPY jobs /src/jobs
COPY service /src/service
COPY worker /src/worker
COPY model /src/model
COPY clients/python /src/clients/python
RUN pip install --no-deps /src

FROM python:3.11-slim-bookworm

# With gcc torch.compile builds its launchers of GPU kernels; without it the renderer runs uncompiled.
# espeak-ng speaks texts where no server does.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev espeak-ng \
 && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 10001 pirenderer \
 && install --directory --mode=0700 --owner=pirenderer --group=pirenderer /data /keys
COPY --from=build /opt/pirenderer /opt/pirenderer
COPY LICENSE NOTICE /usr/share/doc/pirenderer/

ENV PATH=/opt/pirenderer/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PIRENDERER_DATA_DIR=/data
USER pirenderer
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM

ENTRYPOINT ["pirenderer"]
CMD ["api", "--host", "0.0.0.0", "--port", "8000"]
