# docker build -t sdas . && docker run --rm -v "$PWD":/work sdas search
FROM rust:1-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
# ffmpeg decodes clips; curl, with its certificates, and bsdtar are for `sdas data fetch`.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl ffmpeg libarchive-tools \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /source/target/release/sdas /usr/local/bin/sdas
WORKDIR /work
ENTRYPOINT ["sdas"]
