# The worker's image: one static binary and the CA certificates, no shell, no user but a number.
#
#   docker build -t predcache-worker --build-arg VERSION=v1.2.3 .
#
# The bases are arguments, so that they can be taken from a mirror. SOURCE=prebuilt takes binaries that were built before, from
# OS/ARCH/worker in the context: the release does so, so that images and archives hold the same ones.
ARG BUILD_IMAGE=toolchain
ARG BASE_IMAGE=scratch
ARG SOURCE=build

# Dependabot keeps this digest, of the image for all architectures. It reads FROM lines and no ARG, so this is a stage of its
# own, which is not pulled where BUILD_IMAGE names another one.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm@sha256:a688600ca24f8a4d3ca77f95b0dd40704a9fc787c826660eb7ba0b641b8b175d AS toolchain

# hadolint ignore=DL3006
FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=
# The same source, toolchain and version make the same bytes: no paths, no build id, no VCS stamp.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build \
    GOCACHE=/go/build CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -tags grpcnotrace \
    -ldflags "-s -w -buildid= -X main.stamped=$VERSION" -o /worker ./cmd/worker

FROM scratch AS prebuilt
ARG TARGETPLATFORM
COPY ${TARGETPLATFORM}/worker /worker

# hadolint ignore=DL3006
FROM ${SOURCE} AS binary

# hadolint ignore=DL3006
FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS certificates

# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
ARG VERSION=
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="predcache worker" \
      org.opencontainers.image.description="Consumes predictions from SQS and writes them behind into a DynamoDB table with TTL" \
      org.opencontainers.image.source="https://github.com/predcache/predcache" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
COPY --from=certificates /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=binary --chmod=0555 /worker /worker
USER 65532:65532
EXPOSE 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/worker", "health"]
ENTRYPOINT ["/worker"]
CMD ["run"]
