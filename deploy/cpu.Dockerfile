# dossr-video for the CPU. From the top of a checkout:
#   docker build -f deploy/cpu.Dockerfile -t dossr-video .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" dossr-video in.mp4 out.mp4
FROM python:3.12-slim-bookworm

# The torch of PyPI would bring gigabytes of CUDA libraries.
ARG TORCH=2.13.0
RUN pip install --no-cache-dir "torch==${TORCH}" --index-url https://download.pytorch.org/whl/cpu

RUN --mount=type=bind,target=/src pip install --no-cache-dir "/src[http,models,s3]"

# Whatever user it runs as: options, caches and the page's jobs lie here.
ENV HOME=/tmp PYTHONUNBUFFERED=1
USER 65534
WORKDIR /work
ENTRYPOINT ["dossr-video"]
CMD ["--help"]
