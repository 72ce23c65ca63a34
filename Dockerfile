# docker build -t sdas . && docker run --rm -v "$PWD":/runs sdas search
#
# With NVIDIA's cards, which the machine needs a driver for, and NVIDIA's container toolkit:
# docker build --target cuda --build-arg FEATURES=cuda -t sdas:cuda . && docker run --rm --gpus all -v "$PWD":/runs sdas:cuda search
FROM rust:1-slim-bookworm AS build
ARG FEATURES=
WORKDIR /source
COPY . .
RUN cargo build --release --locked --features "$FEATURES"

# It has NVIDIA's packages to choose from, and little else. Kernels are compiled when they are first needed: by NVRTC, with
# CUDA's headers.
FROM nvidia/cuda:12.6.3-base-ubuntu24.04 AS cuda
RUN apt-get update \
    && apt-get install -y --no-install-recommends cuda-nvrtc-12-6 cuda-cudart-dev-12-6 \
        ca-certificates curl ffmpeg libarchive-tools \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /source/target/release/sdas /usr/local/bin/sdas
WORKDIR /runs
ENTRYPOINT ["sdas"]

FROM debian:bookworm-slim AS cpu
# ffmpeg decodes clips; curl, with its certificates, and bsdtar are for `sdas data fetch`.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl ffmpeg libarchive-tools \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /source/target/release/sdas /usr/local/bin/sdas
WORKDIR /runs
ENTRYPOINT ["sdas"]
