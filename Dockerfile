# The server alone, on an image without a shell: about the size of its binary.
FROM node:22 AS dashboard
WORKDIR /source/ui/web
COPY ui/web/package.json ui/web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY ui/web .
RUN npm run build

FROM golang:1.26 AS build
WORKDIR /source
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=dashboard /source/ui/assets/dist ui/assets/dist
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /nexo ./cmd/nexo && mkdir /data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /nexo /usr/local/bin/nexo
# A named volume takes the owner of the directory that it covers.
COPY --from=build --chown=65532:65532 /data /data
# Inside a container the loopback interface is reachable by nobody, and protected mode refuses everybody else. Set a password
# (NEXO_PASSWORD_FILE) before the port is published beyond a network that you trust.
ENV NEXO_HOST=0.0.0.0 NEXO_DASHBOARD_HOST=0.0.0.0 NEXO_PROTECTED_MODE=false NEXO_DATA=/data
VOLUME /data
EXPOSE 7654 8080
USER 65532:65532
# Healthy is who serves: while the logs are loaded the container is "starting", for up to ten minutes.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10m CMD ["/usr/local/bin/nexo", "health"]
ENTRYPOINT ["/usr/local/bin/nexo"]
CMD ["server"]
