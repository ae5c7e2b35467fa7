# The environment of this project, from requirements.lock, for clusters that run containers (params/cluster/kubernetes).
#   docker build --tag registry.example.org/catscans:latest .                   with --build-arg GPU=1: TensorFlow for NVIDIA GPUs
#   docker run --user "$(id -u)" --volume "$PWD:/compendium" registry.example.org/catscans:latest book
# A volume mounted at /compendium replaces the project that the image holds; runs then use the volume's code and results.
FROM python:3.13-slim-bookworm

# git names the commit in every record. Debian removes old versions, so a pinned one could not be installed later.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/*

WORKDIR /compendium
COPY requirements.lock ./
RUN grep "^uv==" requirements.lock > /tmp/uv.txt \
 && pip install --no-cache-dir -r /tmp/uv.txt \
 && uv pip install --system --no-cache --compile-bytecode -r requirements.lock \
 && uv pip install --system --no-cache --compile-bytecode -c requirements.lock \
        snakemake-executor-plugin-kubernetes snakemake-storage-plugin-fs

ARG GPU=""
RUN if [ -n "$GPU" ]; then uv pip uninstall --system tensorflow-cpu && uv pip install --system --no-cache --compile-bytecode \
        "tensorflow[and-cuda]==$(sed -n 's/^tensorflow-cpu==\([^ ]*\).*/\1/p' requirements.lock)"; fi

COPY --chown=1000 . .
RUN uv pip install --system --no-cache --no-deps --no-build-isolation -e . \
 && git config --system --add safe.directory /compendium && chown 1000 .

USER 1000
ENTRYPOINT ["catscans"]
