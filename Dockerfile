# Two images: `api`, the front-end, and `worker`, which works, trains and serves as a whole.
# Each ends with three layers that a new version changes by itself: libraries, weights, code.
FROM python:3.11-slim-bookworm AS base

# espeak-ng speaks texts where no server does.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends espeak-ng \
 && rm -rf /var/lib/apt/lists/*

RUN groupadd --gid 10001 pirenderer \
 && useradd --create-home --uid 10001 --gid 10001 pirenderer \
 && install --directory --mode=0700 --owner=10001 --group=10001 /data /keys \
 && python -m venv --without-pip /opt/pirenderer
ENV PATH=/opt/pirenderer/bin:$PATH

# Of AWS' services S3 stays, and those by which credentials are found.
RUN --mount=type=bind,source=requirements,target=/requirements \
    pip --no-cache-dir --python /opt/pirenderer/bin/python install --require-hashes --requirement /requirements/api.txt \
 && cd /opt/pirenderer/lib/python3.11/site-packages/botocore/data \
 && find . -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name signin ! -name sso ! -name sso-oidc ! -name sts \
      -exec rm -r {} +
COPY LICENSE NOTICE /usr/share/doc/pirenderer/

ENV PYTHONUNBUFFERED=1 \
    PIRENDERER_DATA_DIR=/data
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["pirenderer"]
LABEL org.opencontainers.image.licenses="Apache-2.0"


# The package as it lies in the images, but for the weights, which have a layer of their own.
FROM base AS code

COPY pyproject.toml README.md LICENSE NOTICE /src/
COPY jobs /src/jobs
COPY service /src/service
COPY worker /src/worker
COPY model /src/model
COPY clients/python /src/clients/python
# With a time given, compiled modules are checked by their sources' contents: files may change their times on the way.
RUN SOURCE_DATE_EPOCH=315532800 \
    pip --no-cache-dir --python /opt/pirenderer/bin/python install --no-deps --prefix /code /src \
 && rm /code/lib/python3.11/site-packages/model/weights/*.safetensors


FROM base AS api

# It tells which weights there are, and loads none.
COPY --chmod=644 model/weights/*.safetensors /opt/pirenderer/lib/python3.11/site-packages/model/weights/
COPY --from=code /code /opt/pirenderer

ENV PIRENDERER_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=4 CMD ["pirenderer", "healthy", "api"]
CMD ["api"]

# What changes with each version is said last: what runs after an ARG runs anew with each of its values.
ARG VERSION="" REVISION=""
LABEL org.opencontainers.image.title="PIRenderer API" \
      org.opencontainers.image.description="The HTTP front-end of portrait animation as a service" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"


FROM base AS worker

RUN --mount=type=bind,source=requirements,target=/requirements \
    pip --no-cache-dir --python /opt/pirenderer/bin/python install --require-hashes --requirement /requirements/train.txt

# Empty: the registry's build of torch, which carries CUDA; the host brings the driver. Set it to the index of torch's
# CPU wheels for a small image.
ARG TORCH_INDEX_URL=""

# With gcc torch.compile builds its launchers of GPU kernels; without it the renderer runs uncompiled.
RUN if [ "${TORCH_INDEX_URL##*/}" != cpu ]; then \
      apt-get update \
       && apt-get install --yes --no-install-recommends gcc libc6-dev \
       && rm -rf /var/lib/apt/lists/*; \
    fi

# Torch's own tests do not stay.
RUN --mount=type=bind,source=requirements,target=/requirements \
    pip --no-cache-dir --python /opt/pirenderer/bin/python install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} \
        --requirement /requirements/torch.txt \
 && cd /opt/pirenderer/lib/python3.11/site-packages/torch \
 && rm -rf test bin/test_* bin/*Test

COPY --chmod=644 model/weights/*.safetensors /opt/pirenderer/lib/python3.11/site-packages/model/weights/
COPY --chmod=644 docs/*.toml /usr/share/pirenderer/
COPY --from=code /code /opt/pirenderer

USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=4 CMD ["pirenderer", "healthy", "worker"]
CMD ["worker"]

ARG VERSION="" REVISION=""
LABEL org.opencontainers.image.title="PIRenderer" \
      org.opencontainers.image.description="Workers, training and the whole service of portrait animation" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
