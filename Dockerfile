# The agent as a container image. docker build -t edge-image-agent .
#
#   docker run -d --name edge-image-agent --network host -v edge-image-agent:/var/lib/edge-image-agent \
#     -v /etc/edge-image-agent:/etc/edge-image-agent:ro edge-image-agent

FROM node:24-trixie-slim AS build
WORKDIR /build
# node itself is a development dependency of a checkout; here the image has it already.
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN node_modules/.bin/tsc -p tsconfig.build.json

FROM node:24-trixie-slim AS dependencies
WORKDIR /build
COPY package.json package-lock.json ./
# The database library brings its compiled part along: nothing is compiled or run here.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-trixie-slim
# A number, so that Kubernetes can tell that it isn't root.
ARG UID=10001
RUN mkdir -p /var/lib/edge-image-agent /etc/edge-image-agent \
  && chown ${UID}:${UID} /var/lib/edge-image-agent
WORKDIR /app
ENV NODE_ENV=production
COPY --from=dependencies /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY package.json agent.config.yaml ./
USER ${UID}:${UID}
VOLUME /var/lib/edge-image-agent
# The registry that nodes pull from, and the API.
EXPOSE 5000 8080
# Where api.listen is changed, EDGE_IMAGE_AGENT_API tells the check.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch((process.env.EDGE_IMAGE_AGENT_API || 'http://127.0.0.1:8080') + '/healthz').then(a => process.exit(a.ok ? 0 : 1), () => process.exit(1))"]
# node as process 1 handles SIGTERM itself, and the agent starts no other processes.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "dist/main.js"]
CMD ["run"]
