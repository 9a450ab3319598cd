# The command rfwarp with its CPU kernels and bundled weights; no GPU.
#   docker build -t rfwarp .
#   docker run --rm rfwarp info
#   docker run --rm --user "$(id -u)" -v "$PWD:/data" rfwarp generate -s SOURCE.png ... -o new.png
FROM python:3.11-slim AS torch
ENV PIP_NO_CACHE_DIR=1
RUN pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu

FROM torch AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++
RUN pip install "setuptools>=77" ninja pybind11 build
COPY . /src
RUN RFWARP_BUILD=cpu python -m build --wheel --no-isolation --outdir /wheels /src

FROM torch
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels pip install /wheels/*.whl
RUN useradd --create-home rfwarp
USER rfwarp
WORKDIR /data
ENTRYPOINT ["rfwarp"]
CMD ["info"]
