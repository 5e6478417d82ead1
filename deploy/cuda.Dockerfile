# dossr-video for NVIDIA GPUs. From the top of a checkout, on a machine with the NVIDIA Container Toolkit:
#   docker build -f deploy/cuda.Dockerfile -t dossr-video:cuda .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD:/work" dossr-video:cuda in.mp4 out.mp4
# deploy/kuberay.yaml runs it as the workers of a Ray cluster; for that it holds the extra `ray`.
FROM python:3.12-slim-bookworm

# It brings CUDA; of the machine it needs the driver alone.
ARG TORCH=2.13.0
# With the job server that KubeRay talks to.
ARG RAY=2.60.0
RUN pip install --no-cache-dir "torch==${TORCH}" "ray[default]==${RAY}"

RUN --mount=type=bind,target=/src pip install --no-cache-dir "/src[http,models,ray,s3]"

# The NVIDIA runtime gives a container the devices and the parts of the driver that these name.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Whatever user it runs as: options and caches lie here.
ENV HOME=/tmp PYTHONUNBUFFERED=1
USER 65534
WORKDIR /work
ENTRYPOINT ["dossr-video"]
CMD ["--help"]
