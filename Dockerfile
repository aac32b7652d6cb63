# The program with all that it needs. `DEVICE=cuda` takes PyTorch's CUDA build, which needs only the host's driver.
#   docker build -t convergence .
#   docker build -t convergence --build-arg DEVICE=cuda .
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}
ARG DEVICE=cpu
WORKDIR /opt/convergence
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY conf conf
COPY convergence convergence
RUN case "${DEVICE}" in \
      cpu) export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu ;; \
      cuda) ;; \
      *) echo "DEVICE=${DEVICE}: it is cpu or cuda" >&2; exit 1 ;; \
    esac \
    && pip install --no-cache-dir -c constraints.txt ".[cluster,recordings]"
WORKDIR /work
ENTRYPOINT ["python", "-m", "convergence"]
CMD ["--help"]
