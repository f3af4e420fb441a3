"""API Gateway on this machine: HTTP API, WebSocket API and the ports that only programs use, from `serverless.yml`."""
